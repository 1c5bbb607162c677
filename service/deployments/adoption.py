"""Taking over an object that others made, so that there runs what was asked for and nothing beside it.

Server-side apply removes only what its own manager stated before: a container that others put there would stay. So
what runs is written over to our manager first; the apply that follows leaves out what was not asked for. Clients that
go from one way of applying to another do the same (client-go, util/csaupgrade).
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from service.base.clock import utcnow
from service.deployments.workloads import Object, is_own_entry
from service.models.workloads import MANAGER

_WHAT_RUNS: Mapping[str, Sequence[str]] = {"Deployment": ("f:spec", "f:template"), "Service": ("f:spec", "f:ports")}


def managers_taken_over(present: Object) -> list[Object] | None:
    """The object's managedFields with what runs in it ours alone; None where it is already."""
    path = _WHAT_RUNS[present["kind"]]
    entries = copy.deepcopy(present["metadata"].get("managedFields") or [])
    taken = [_take(one["fieldsV1"], path) for one in entries if not is_own_entry(one) and "fieldsV1" in one]
    if not any(taken):
        return None
    own = next((one for one in entries if is_own_entry(one)), None)
    if own is None:
        own = _new_entry(present)
        entries.append(own)
    for fields in taken:
        _lay_over(own["fieldsV1"], fields)
    return [one for one in entries if one["fieldsV1"]]


def _new_entry(present: Object) -> Object:
    return {
        "manager": MANAGER,
        "operation": "Apply",
        "apiVersion": present["apiVersion"],
        "time": utcnow().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "fieldsType": "FieldsV1",
        "fieldsV1": {},
    }


def _take(fields: Object, path: Sequence[str]) -> Object:
    """Takes what is at a path out of the fields, in place, and gives it by its path."""
    name, *rest = path
    if name not in fields:
        return {}
    if not rest:
        return {name: fields.pop(name)}
    below = _take(fields[name], rest)
    if not fields[name]:
        del fields[name]
    return {name: below} if below else {}


def _lay_over(fields: Object, others: Mapping[str, Any]) -> None:
    for name, below in others.items():
        _lay_over(fields.setdefault(name, {}), below)
