"""The ledger alone writes the audit trail: what is written elsewhere escapes the promises that it keeps."""

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCES = Path(__file__).parent.parent


def writes(tree: ast.AST) -> Iterator[str]:
    """Names of tables that are inserted into, updated or deleted from, by whatever object's method."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Name):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("insert", "update", "delete"):
                yield node.args[0].id


def writers(table: str) -> set[str]:
    files = [path for part in ("api", "service") for path in (SOURCES / part).rglob("*.py")]
    return {str(path.relative_to(SOURCES)) for path in files if table in writes(ast.parse(path.read_text()))}


def test_the_ledger_alone_writes_rows_of_the_trail() -> None:
    assert writers("operations") == {"service/operations/ledger.py"}


def test_keys_that_make_repeats_safe_are_written_in_one_place() -> None:
    assert writers("idempotency_keys") == {"service/operations/idempotency.py"}
