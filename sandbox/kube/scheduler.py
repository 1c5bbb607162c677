"""The scheduler: a node for each pod by what it asks for and selects, or the reason why there is none."""

import copy
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal

from sandbox.kube.conditions import condition, put_condition
from sandbox.kube.kinds import NODE, POD
from sandbox.kube.manager import Key
from sandbox.kube.quantities import asked_for, parse, total
from sandbox.kube.store import Change, Object, Store
from sandbox.kube.view import View, key_of, owner_of

_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_FINISHED = ("Succeeded", "Failed")
_MISMATCH = "node(s) didn't match Pod's node affinity/selector"
_CLOSED = "node(s) were unschedulable"
_TOO_MANY = "Too many pods"


class Scheduler:
    """Binds pods to nodes. Affinities, taints and topology spread are not looked at."""

    def __init__(self, store: Store, view: View) -> None:
        self._store = store
        self._view = view

    def concerns(self, change: Change) -> Iterable[Key]:
        if change.kind is POD and change.type != "DELETED" and not change.object["spec"].get("nodeName"):
            yield key_of(change.object)
        elif change.kind is NODE or (change.kind is POD and _frees_room(change)):
            yield from (key_of(one) for one in self._view.all(POD) if not one["spec"].get("nodeName"))

    def reconcile(self, key: Key) -> None:
        pod = self._view.find(POD, *key)
        if pod is None or pod["spec"].get("nodeName"):
            return
        placed = self._placed()
        nodes = self._view.all(NODE)
        reasons = {one["metadata"]["name"]: _obstacles(pod, one, placed) for one in nodes}
        fitting = [one for one in nodes if not reasons[one["metadata"]["name"]]]
        made = copy.deepcopy(pod)
        status = made.setdefault("status", {"phase": "Pending"})
        if fitting:
            node = min(fitting, key=lambda one: _load(pod, one, placed))
            made["spec"]["nodeName"] = node["metadata"]["name"]
            put_condition(status, {"type": "PodScheduled", "status": "True"})
        else:
            _note_refusal(status, _message([one for obstacles in reasons.values() for one in obstacles], len(nodes)))
        self._store.replace(POD, made)

    def _placed(self) -> list[Object]:
        return [
            one
            for one in self._view.all(POD)
            if one["spec"].get("nodeName") and one.get("status", {}).get("phase") not in _FINISHED
        ]


def _frees_room(change: Change) -> bool:
    return change.type == "DELETED" or change.object.get("status", {}).get("phase") in _FINISHED


def _obstacles(pod: Object, node: Object, placed: list[Object]) -> list[str]:
    if node["spec"].get("unschedulable"):
        return [_CLOSED]
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(name) != value for name, value in (pod["spec"].get("nodeSelector") or {}).items()):
        return [_MISMATCH]
    mine = [one for one in placed if one["spec"]["nodeName"] == node["metadata"]["name"]]
    allocatable = node["status"]["allocatable"]
    obstacles = [_TOO_MANY] if len(mine) >= parse(allocatable["pods"]) else []
    for resource in _RESOURCES:
        asked = asked_for(pod, resource)
        if asked and asked > parse(allocatable.get(resource, 0)) - total(mine, resource):
            obstacles.append(f"Insufficient {resource}")
    return obstacles


def _load(pod: Object, node: Object, placed: list[Object]) -> tuple[int, int, Decimal]:
    """Siblings of the pod on the node, pods on it, and their cpu: the less of each the better."""
    mine = [one for one in placed if one["spec"]["nodeName"] == node["metadata"]["name"]]
    owner = owner_of(pod)
    siblings = [one for one in mine if owner and owner_of(one) == owner]
    return len(siblings), len(mine), total(mine, "cpu")


def _message(reasons: list[str], nodes: int) -> str:
    if not nodes:
        return "no nodes available to schedule pods"
    counted = ", ".join(f"{number} {reason}" for reason, number in sorted(Counter(reasons).items()))
    can_help = sum(1 for reason in reasons if reason not in (_MISMATCH, _CLOSED))
    preemption = (
        f"{min(can_help, nodes)} No preemption victims found for incoming pod"
        if can_help
        else f"{nodes} Preemption is not helpful for scheduling"
    )
    return f"0/{nodes} nodes are available: {counted}. preemption: 0/{nodes} nodes are available: {preemption}."


def _note_refusal(status: Object, message: str) -> None:
    before = condition(status, "PodScheduled")
    if before is None or before.get("message") != message:
        made = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        put_condition(status, made)
