"""Who manages which fields of an object: `metadata.managedFields`, and what applying does to them.

Source: Kubernetes documentation, "Server-Side Apply"; apimachinery pkg/util/managedfields; structured-merge-diff v6.
"""

import copy
from dataclasses import dataclass, replace
from typing import Literal

from sandbox.kube.errors import StatusError
from sandbox.kube.fields import Fields, Path, compare, covers, from_json, of_value, to_json, to_text
from sandbox.kube.kinds import Kind
from sandbox.kube.merging import lay_over, take_away
from sandbox.kube.schema import of_model
from sandbox.kube.store import Object, now

_METADATA = (
    "name",
    "namespace",
    "creationTimestamp",
    "generateName",
    "selfLink",
    "uid",
    "generation",
    "managedFields",
    "resourceVersion",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
_UNMANAGED: set[Path] = {
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    *(("f:metadata", f"f:{n}") for n in _METADATA),
}


@dataclass(frozen=True, slots=True)
class Manager:
    """One entry's key; versions do not matter here, each kind has one."""

    name: str
    operation: Literal["Apply", "Update"]
    subresource: str = ""

    def describe(self, version: str) -> str:
        part = f' with subresource "{self.subresource}"' if self.subresource else ""
        using = f" using {version}" if self.operation == "Update" else ""
        return f'"{self.name}"{part}{using}'


@dataclass(frozen=True, slots=True)
class _Entry:
    fields: Fields
    time: str


_Entries = dict[Manager, _Entry]


def apply(kind: Kind, live: Object, sent: Object, manager: Manager, *, is_forced: bool) -> Object:
    """The live object (empty where there is none) with what is applied laid over it, and its managers.

    :raises StatusError: 409 Conflict, others manage a field that would change.
    """
    schema = of_model(kind.model)
    entries = _read(live)
    merged = lay_over(schema, live, sent)
    stated = _managed(frozenset(of_value(schema, sent)), manager)
    written = _managed(compare(schema, live, merged).written, manager)
    conflicts = {one: both for one, entry in entries.items() if one != manager and (both := entry.fields & written)}
    if conflicts and not is_forced:
        raise _conflict(kind, conflicts)
    before = entries.get(manager, _Entry(frozenset(), now()))
    entries = _without(entries, written, but=manager)
    entries[manager] = replace(before, fields=stated)
    _drop(kind, merged, before.fields - stated, [entry.fields for entry in entries.values()])
    removed = compare(schema, live, merged).removed
    return _finished(kind, live, merged, _without(entries, removed, but=manager), manager)


def update(kind: Kind, live: Object, made: Object, manager: Manager) -> Object:
    """An object that was written otherwise: what changed is the writer's alone."""
    difference = compare(of_model(kind.model), live, made)
    written, removed = _managed(difference.written, manager), difference.removed
    entries = _read(made)
    before = entries.get(manager, _Entry(frozenset(), now()))
    entries = _without(entries, written | removed, but=manager)
    entries[manager] = replace(before, fields=(before.fields | written) - removed)
    return _finished(kind, live, made, entries, manager)


def _managed(fields: Fields, manager: Manager) -> Fields:
    """Without what nobody manages, and what a write through this resource leaves alone."""
    reset = {"status": ("f:spec",), "": ("f:status",)}.get(manager.subresource, ())
    return frozenset(one for one in fields if one and one not in _UNMANAGED and one[0] not in reset)


def _without(entries: _Entries, fields: Fields, *, but: Manager) -> _Entries:
    return {
        one: entry if one == but else replace(entry, fields=entry.fields - fields) for one, entry in entries.items()
    }


def _drop(kind: Kind, merged: Object, gone: Fields, owned: list[Fields]) -> None:
    """Remove what the manager states no more and nobody else manages, and with it what holds nothing else."""
    kept = frozenset[Path]().union(*owned)
    for path in sorted(gone, key=len):
        # What controllers put into metadata is theirs though no entry says so: only the field itself goes.
        for length in range(len(path) if path[0] == "f:metadata" else 1, len(path) + 1):
            part = path[:length]
            if (part == path or part[-1].startswith("f:")) and not covers(kept, part):
                take_away(of_model(kind.model), merged, part)
                break


def _finished(kind: Kind, live: Object, made: Object, entries: _Entries, manager: Manager) -> Object:
    """With its managers written down; the time of a write is kept where it changed nothing."""
    made = copy.deepcopy(made)
    kept = {one: entry for one, entry in entries.items() if entry.fields}
    was, is_ = _bare(live), _bare(made)
    if manager in kept and (was != is_ or _read(live) != kept):
        kept[manager] = replace(kept[manager], time=now())
    made.setdefault("metadata", {})["managedFields"] = [_to_json(kind, one, entry) for one, entry in kept.items()]
    return made


def _bare(resource: Object) -> Object:
    metadata = {name: value for name, value in (resource.get("metadata") or {}).items() if name not in _METADATA}
    return {**resource, "metadata": metadata}


def _read(resource: Object) -> _Entries:
    return {
        Manager(one["manager"], one["operation"], one.get("subresource", "")): _Entry(
            frozenset(from_json(one["fieldsV1"])), one["time"]
        )
        for one in (resource.get("metadata") or {}).get("managedFields") or []
    }


def _to_json(kind: Kind, manager: Manager, entry: _Entry) -> Object:
    return {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": kind.api_version,
        "time": entry.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": to_json(entry.fields),
        **({"subresource": manager.subresource} if manager.subresource else {}),
    }


def _conflict(kind: Kind, conflicts: dict[Manager, Fields]) -> StatusError:
    owned = [
        (manager.describe(kind.api_version), to_text(path))
        for manager in sorted(conflicts, key=lambda one: one.describe(kind.api_version))
        for path in sorted(conflicts[manager])
    ]
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": path} for who, path in owned
    ]
    return StatusError(409, "Conflict", _conflict_text(owned), causes=causes)


def _conflict_text(owned: list[tuple[str, str]]) -> str:
    if len(owned) == 1:
        return f"Apply failed with 1 conflict: conflict with {owned[0][0]}: {owned[0][1]}"
    lines: list[str] = []
    for who in dict.fromkeys(who for who, _ in owned):
        lines.append(f"conflicts with {who}:")
        lines += [f"- {path}" for one, path in owned if one == who]
    return f"Apply failed with {len(owned)} conflicts: " + "\n".join(lines)
