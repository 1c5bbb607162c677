"""Sets of fields, as managedFields write them, and what two versions of an object differ in.

A path is a tuple of elements in the form of FieldsV1: `f:NAME` for a field, `k:{"name":"c"}` for an item of a list that
is a map, `v:VALUE` for one of a set. Source: Kubernetes documentation, "Server-Side Apply"; structured-merge-diff v6.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.kube.schema import KEY_DEFAULTS, Mapping, Schema, Sequence, Struct
from sandbox.kube.store import Object

Path = tuple[str, ...]
Fields = frozenset[Path]

_MEMBER = "."
_ALWAYS_THERE = {
    f"f:{name}" for name in ("metadata", "spec", "status", "template", "strategy", "containers", "resources")
}
"""Fields that a real server's objects have even where they are empty, so that nobody adds them."""


def of_value(schema: Schema, value: Any, path: Path = ()) -> Iterator[Path]:  # noqa: ANN401 - any JSON
    """The fields that a value states."""
    if not is_granular(schema):
        yield path
        return
    for element, part, item in children(schema, value):
        yield from of_value(part, item, (*path, element))
        if _is_member(schema, item):
            yield (*path, element)


def is_granular(schema: Schema) -> bool:
    """Whether parts of it are owned apart."""
    if isinstance(schema, Struct | Mapping):
        return not schema.is_atomic
    return isinstance(schema, Sequence) and (bool(schema.keys) or schema.is_set)


def children(schema: Schema, value: Any) -> Iterator[tuple[str, Schema, Any]]:  # noqa: ANN401 - any JSON
    """Element, shape and value of each part of a granular value."""
    if isinstance(schema, Sequence):
        for item in value or []:
            yield element_of(schema, item), schema.item, item
        return
    for name, item in (value or {}).items():
        part = _part(schema, name)
        if part is not None:
            yield f"f:{name}", part, item


def _part(schema: Schema, name: str) -> Schema | None:
    if isinstance(schema, Struct):
        return schema.fields.get(name)
    return schema.value if isinstance(schema, Mapping) else None


def element_of(schema: Sequence, item: Any) -> str:  # noqa: ANN401 - any JSON
    if schema.is_set:
        return f"v:{_text(item)}"
    return f"k:{_text({key: item.get(key, KEY_DEFAULTS.get(key)) for key in sorted(schema.keys)})}"


def _is_member(schema: Schema, item: Any) -> bool:  # noqa: ANN401 - any JSON
    return not isinstance(schema, Struct) or item is None or item == {}


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed from one version of an object to another; `written` is what was added or modified."""

    written: Fields
    removed: Fields


def compare(schema: Schema, before: Any, after: Any) -> Difference:  # noqa: ANN401 - any JSON
    changes = list(_changes(schema, before, after, ()))
    return Difference(
        frozenset(path for is_written, path in changes if is_written),
        frozenset(path for is_written, path in changes if not is_written),
    )


def _changes(schema: Schema, before: Any, after: Any, path: Path) -> Iterator[tuple[bool, Path]]:  # noqa: ANN401 - any JSON
    """Whether it was written or removed, and what."""
    if before == after:
        return
    if not is_granular(schema) or not (before or after):
        yield after is not None, path
        return
    old = {element: item for element, _, item in children(schema, before)}
    new = {element: item for element, _, item in children(schema, after)}
    parts = {element: part for value in (before, after) for element, part, _ in children(schema, value)}
    if path and (after is None or (before is None and path[-1] not in _ALWAYS_THERE)):
        yield after is not None, path
    for element, part in parts.items():
        yield from _changes(part, old.get(element), new.get(element), (*path, element))


def to_json(fields: Fields) -> Object:
    """As `fieldsV1` has them."""
    root: Object = {}
    for path in sorted(fields):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        node[_MEMBER] = {}
    return {element: _trimmed(node) for element, node in root.items() if element != _MEMBER}


def _trimmed(node: Object) -> Object:
    """A member without members below it is just empty."""
    if set(node) == {_MEMBER}:
        return {}
    return {element: part if element == _MEMBER else _trimmed(part) for element, part in node.items()}


def from_json(node: Object, path: Path = ()) -> Iterator[Path]:
    if path and (not node or _MEMBER in node):
        yield path
    for element, part in node.items():
        if element != _MEMBER:
            yield from from_json(part, (*path, element))


def to_text(path: Path) -> str:
    """As messages name it: `.spec.containers[name="c"].image`."""
    return "".join(_shown(element) for element in path)


def covers(owned: Iterable[Path], path: Path) -> bool:
    """Whether a field or anything below it is among those."""
    return any(one[: len(path)] == path for one in owned)


def _shown(element: str) -> str:
    kind, _, rest = element.partition(":")
    if kind == "f":
        return f".{rest}"
    if kind == "v":
        return f"[={rest}]"
    return f"[{','.join(f'{key}={_text(value)}' for key, value in json.loads(rest).items())}]"


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON
    return json.dumps(value, separators=(",", ":"))
