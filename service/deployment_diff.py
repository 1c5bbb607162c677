"""What differs between two states of a Kubernetes object, field by field."""

from collections.abc import Iterator, Mapping
from typing import Any

_NOT_SPOKEN_OF = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp")

Difference = tuple[str, Any, Any]
"""The field's path, and what it was and would be; None on a side where it is not set."""


def changes_between(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Iterator[Difference]:
    """Differences of metadata and spec, without what the API server keeps for itself."""
    for part in ("metadata", "spec"):
        yield from _walk(f".{part}", (before or {}).get(part), after.get(part))


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
