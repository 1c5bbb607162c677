"""What differs between two states of a Kubernetes object, field by field."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_NOT_SPOKEN_OF = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp")

_VARIABLE = re.compile(r"\.env\[\d+\]$")
_VARIABLES_VALUE = re.compile(r"\.env\[\d+\]\.value$")
MASK = "…"

Difference = tuple[str, Any, Any]
"""The field's path, and what it was and would be; None on a side where it is not set."""


def changes_between(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Iterator[Difference]:
    """Differences of metadata and spec, without what the API server keeps for itself."""
    for part in ("metadata", "spec"):
        yield from _walk(f".{part}", (before or {}).get(part), (after or {}).get(part))


def masked(path: str, value: Any) -> Any:  # noqa: ANN401 - JSON
    """The value without those of the environment: who may deploy need not know what was set before."""
    if isinstance(value, dict):
        is_variable = _VARIABLE.search(path) is not None
        return {
            name: MASK if is_variable and name == "value" else masked(f"{path}.{name}", one)
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [masked(f"{path}[{number}]", one) for number, one in enumerate(value)]
    return MASK if _VARIABLES_VALUE.search(path) and value is not None else value


def _walk(path: str, before: Any, after: Any) -> Iterator[Difference]:  # noqa: ANN401 - JSON
    if before == after:
        return
    if isinstance(after, dict) and isinstance(before, dict | None):
        known = before or {}
        for name in sorted({*known, *after}):
            if name not in _NOT_SPOKEN_OF:
                yield from _walk(f"{path}.{name}", known.get(name), after.get(name))
    elif isinstance(after, list) and isinstance(before, list) and len(before) == len(after):
        for number, (left, right) in enumerate(zip(before, after, strict=True)):
            yield from _walk(f"{path}[{number}]", left, right)
    else:
        yield path, before, after
