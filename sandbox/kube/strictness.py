"""What a body has that its kind has not: fields that do not exist, values of the wrong type."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sandbox.kube.errors import StatusError, bad_request
from sandbox.kube.kinds import Kind
from sandbox.kube.schema import KEY_DEFAULTS, Leaf, Mapping, Schema, Sequence, Struct, of_model
from sandbox.kube.store import Object

_QUANTITY = re.compile(r"[+-]?(\d+|\d+\.\d*|\.\d+)([eE][+-]?\d+|n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_QUANTITY_RULE = r"quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_NAMED = {"string": "string", "integer": "numeric (int or float)", "boolean": "boolean", "time": "string"}


@dataclass(frozen=True, slots=True)
class Flaw:
    """`path` names items by key, `.spec.containers[name="c"].x`; `place` counts them, `spec.containers[0].x`."""

    path: str
    place: str
    what: Literal["unknown", "duplicate", "type", "quantity"]
    text: str


@dataclass(frozen=True, slots=True)
class _Spot:
    path: str = ""
    place: str = ""

    def field(self, name: str) -> "_Spot":
        return _Spot(f"{self.path}.{name}", f"{self.place}.{name}" if self.place else name)

    def item(self, index: int, keys: str) -> "_Spot":
        return _Spot(f"{self.path}{keys or f'[{index}]'}", f"{self.place}[{index}]")

    def flaw(self, what: Literal["unknown", "duplicate", "type", "quantity"], text: str) -> Flaw:
        return Flaw(self.path, self.place, what, text)


def check_applied(kind: Kind, sent: Object, namespace: str | None, name: str) -> None:
    """:raises StatusError: 500 without a reason, as server-side apply answers any flaw."""
    if not (flaws := list(_look(of_model(kind.model), sent, _Spot()))):
        return
    lines = [f"{flaw.path}: {flaw.text}" for flaw in flaws]
    said = lines[0] if len(lines) == 1 else "errors:" + "".join(f"\n  {line}" for line in lines)
    place = f"{namespace}/{name}" if namespace else f"/{name}"
    about = f"({place}; {kind.api_version}, Kind={kind.name})"
    raise StatusError(500, "", f"failed to create typed patch object {about}: {said}")


def decode(kind: Kind, sent: Object, validation: Literal["Strict", "Warn", "Ignore"]) -> tuple[Object, list[str]]:
    """The body without what the kind has not, and the warnings about it.

    :raises StatusError: 400, a value is of the wrong type, or (strict) a field is unknown.
    """
    schema = of_model(kind.model)
    flaws = list(_look(schema, sent, _Spot()))
    for flaw in flaws:
        if flaw.what in ("type", "quantity"):
            raise bad_request(_undecodable(kind, flaw))
    said = [f'unknown field "{flaw.place}"' for flaw in flaws if flaw.what == "unknown"]
    if said and validation == "Strict":
        raise bad_request(f"strict decoding error: {', '.join(said)}")
    return _pruned(schema, sent), said if validation == "Warn" else []


def _undecodable(kind: Kind, flaw: Flaw) -> str:
    about = f'{kind.name} in version "{kind.version}" cannot be handled as a {kind.name}'
    if flaw.what == "quantity":
        return f"{about}: {flaw.text}"
    return f"{about}: json: cannot unmarshal into field {flaw.place}: {flaw.text}"


def _look(schema: Schema, value: Any, spot: _Spot) -> Iterator[Flaw]:  # noqa: ANN401 - any JSON
    if value is None:
        return
    if isinstance(schema, Leaf):
        yield from _look_leaf(schema, value, spot)
    elif isinstance(schema, Sequence):
        yield from _look_list(schema, value, spot)
    elif not isinstance(value, dict):
        yield spot.flaw("type", f"expected map, got {json.dumps(value)}")
    else:
        for name, part in value.items():
            yield from _look_field(schema, name, part, spot.field(name))


def _look_field(schema: Mapping | Struct, name: str, value: Any, spot: _Spot) -> Iterator[Flaw]:  # noqa: ANN401 - any JSON
    part = schema.value if isinstance(schema, Mapping) else schema.fields.get(name)
    if part is None:
        yield spot.flaw("unknown", "field not declared in schema")
    else:
        yield from _look(part, value, spot)


def _look_list(schema: Sequence, value: Any, spot: _Spot) -> Iterator[Flaw]:  # noqa: ANN401 - any JSON
    if not isinstance(value, list):
        yield spot.flaw("type", f"expected list, got {json.dumps(value)}")
        return
    seen = set()
    for index, item in enumerate(value):
        keys = key_text(schema, item)
        if schema.keys and not keys:
            missing = next((key for key in schema.keys if not isinstance(item, dict) or key not in item), "")
            yield spot.flaw("duplicate", _KEYLESS.format(index=index, key=missing))
        elif keys in seen:
            yield spot.flaw("duplicate", f"duplicate entries for key {keys}")
        seen.add(keys or str(index))
        yield from _look(schema.item, item, spot.item(index, keys))


def key_text(schema: Sequence, item: Any) -> str:  # noqa: ANN401 - any JSON
    """`[name="c"]`; empty where the list is none by key, or a key is missing."""
    if schema.is_set:
        return f"[={json.dumps(item)}]"
    if not schema.keys or not isinstance(item, dict):
        return ""
    values = {key: item.get(key, KEY_DEFAULTS.get(key)) for key in schema.keys}
    if None in values.values():
        return ""
    return f"[{','.join(f'{key}={json.dumps(values[key])}' for key in sorted(values))}]"


def _look_leaf(schema: Leaf, value: Any, spot: _Spot) -> Iterator[Flaw]:  # noqa: ANN401 - any JSON
    if schema.type == "quantity":
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            yield spot.flaw("type", f"expected any scalar, got {json.dumps(value)}")
        elif not _QUANTITY.fullmatch(str(value)):
            yield spot.flaw("quantity", _QUANTITY_RULE)
    elif not _fits(schema, value):
        expected = _NAMED.get(schema.type, "any scalar")
        yield spot.flaw("type", f"expected {expected}, got {_go_type(value)}")


def _fits(schema: Leaf, value: Any) -> bool:  # noqa: ANN401 - any JSON
    is_bool, is_int, is_text = isinstance(value, bool), isinstance(value, int), isinstance(value, str)
    return {
        "any": True,
        "string": is_text,
        "boolean": is_bool,
        "integer": is_int and not is_bool,
        "int-or-string": (is_int and not is_bool) or is_text,
        "time": is_text and _is_time(value),
    }[schema.type]


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _go_type(value: Any) -> str:  # noqa: ANN401 - any JSON
    names = {bool: "bool", int: "int64", float: "float64", str: "string", list: "[]interface {}"}
    return names.get(type(value), "map[string]interface {}")


def compact(kind: Kind, made: Object) -> Object:
    """Without emptied maps and lists: the objects of a typed server have none."""
    compacted: Object = _compact(of_model(kind.model), made)
    return compacted


def _compact(schema: Schema, value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(schema, Struct) and isinstance(value, dict):
        fields = schema.fields
        parts = {name: _compact(fields[name], part) if name in fields else part for name, part in value.items()}
        return {name: part for name, part in parts.items() if part or not _is_collection(fields.get(name))}
    if isinstance(schema, Sequence) and isinstance(value, list):
        return [_compact(schema.item, item) for item in value]
    return value


def _is_collection(schema: Schema | None) -> bool:
    return isinstance(schema, Mapping | Sequence)


def _pruned(schema: Schema, value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(schema, Struct) and isinstance(value, dict):
        fields = schema.fields
        return {
            name: _pruned(fields[name], part) for name, part in value.items() if name in fields and part is not None
        }
    if isinstance(schema, Sequence) and isinstance(value, list):
        return [_pruned(schema.item, item) for item in value if item is not None]
    if isinstance(schema, Mapping) and isinstance(value, dict):
        return {name: part for name, part in value.items() if part is not None}
    return value


_KEYLESS = (
    "element {index}: associative list with keys has an element that omits key field "
    '"{key}" (and doesn\'t have default value)'
)
