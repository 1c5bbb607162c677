"""Laying one object over another, and taking fields away, by the shape of its kind."""

import copy
import json
from typing import Any

from sandbox.kube.fields import Path, children, element_of, is_granular
from sandbox.kube.kinds import Kind
from sandbox.kube.schema import Mapping, Schema, Sequence, Struct, of_model
from sandbox.kube.store import Object

_PATCH = "$patch"


def lay_over(schema: Schema, base: Any, above: Any) -> Any:  # noqa: ANN401 - any JSON
    """What `above` states wins; lists and maps that are not atomic are joined by key."""
    if base is None or above is None or not is_granular(schema):
        return copy.deepcopy(above)
    if isinstance(schema, Sequence):
        return _joined(schema, base, above)
    joined = dict(base)
    for element, part, item in children(schema, above):
        name = element[2:]
        joined[name] = lay_over(part, base.get(name), item)
    return joined


def _joined(schema: Sequence, base: list[Any], above: list[Any]) -> list[Any]:
    new = {element_of(schema, item): item for item in above}
    old = {element_of(schema, item): item for item in base}
    kept = [lay_over(schema.item, item, new.get(element, item)) for element, item in old.items()]
    return kept + [copy.deepcopy(item) for element, item in new.items() if element not in old]


def take_away(schema: Schema, value: Any, path: Path) -> None:  # noqa: ANN401 - any JSON
    """Remove a field, in place; nothing where it is not there."""
    element, *rest = path
    for one, part, item in list(children(schema, value)):
        if one != element:
            continue
        if rest:
            take_away(part, item, tuple(rest))
        elif isinstance(value, list):
            value.remove(item)
        else:
            del value[element[2:]]
        return


def merge_patch(base: Any, patch: Any) -> Any:  # noqa: ANN401 - any JSON
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(base) if isinstance(base, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def strategic_patch(kind: Kind, base: Object, patch: Object) -> Object:
    """A merge patch whose lists are joined by key; `$patch: delete` takes an item out, `$patch: replace` the rest."""
    patched: Object = _strategic(of_model(kind.model), base, patch)
    return patched


def _strategic(schema: Schema | None, base: Any, patch: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(patch, dict):
        return _strategic_map(schema, base if isinstance(base, dict) else {}, patch)
    if isinstance(schema, Sequence) and schema.keys and _is_list_of_maps(base or []) and _is_list_of_maps(patch):
        return _strategic_list(schema, base or [], patch)
    return copy.deepcopy(patch)


def _is_list_of_maps(patch: Any) -> bool:  # noqa: ANN401 - any JSON
    return isinstance(patch, list) and all(isinstance(item, dict) for item in patch)


def _strategic_map(schema: Schema | None, base: Object, patch: Object) -> Object:
    directive = patch.get(_PATCH)
    merged = {} if directive == "replace" else dict(base)
    for name, value in patch.items():
        if name.startswith("$"):
            continue
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _strategic(_part(schema, name), merged.get(name), value)
    return merged


def _strategic_list(schema: Sequence, base: list[Any], patch: list[Any]) -> list[Any]:
    # By the first key alone, as the patch merge keys of the API are (ports: containerPort, port).
    key = next((one for one in ("containerPort", "port", "topologyKey") if one in schema.keys), schema.keys[0])
    merged = {} if {_PATCH: "replace"} in patch else {json.dumps(item.get(key)): item for item in base}
    for item in patch:
        place = json.dumps(item.get(key))
        if item.get(_PATCH) == "delete":
            merged.pop(place, None)
        elif key in item:
            merged[place] = _strategic(schema.item, merged.get(place), item)
    return list(merged.values())


def _part(schema: Schema | None, name: str) -> Schema | None:
    if isinstance(schema, Struct):
        return schema.fields.get(name)
    return schema.value if isinstance(schema, Mapping) else None
