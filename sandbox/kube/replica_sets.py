"""ReplicaSets: as many pods as asked for, and the status that counts them."""

import copy
from collections.abc import Iterable

from sandbox.kube.admission import admit
from sandbox.kube.conditions import condition, drop_condition, is_true, put_condition, seconds_since
from sandbox.kube.errors import StatusError
from sandbox.kube.kinds import NAMESPACE, POD, REPLICA_SET, RESOURCE_QUOTA, SERVICE_ACCOUNT
from sandbox.kube.manager import Key
from sandbox.kube.naming import random_name
from sandbox.kube.store import Change, Object, Store, now
from sandbox.kube.view import View, key_of, owner_of

_FINISHED = ("Succeeded", "Failed")
_FAILURE = "ReplicaFailure"


class ReplicaSets:
    """The ReplicaSet controller."""

    def __init__(self, store: Store, view: View) -> None:
        self._store = store
        self._view = view

    def concerns(self, change: Change) -> Iterable[Key]:
        if change.kind is REPLICA_SET:
            yield key_of(change.object)
        elif change.kind is POD and (owner := owner_of(change.object)) and owner["kind"] == REPLICA_SET.name:
            yield key_of(change.object)[0], owner["name"]
        if _may_lift_a_refusal(change):
            yield from self._refused(change)

    def reconcile(self, key: Key) -> float | None:
        replica_set = self._view.find(REPLICA_SET, *key)
        if replica_set is None or replica_set["metadata"].get("deletionTimestamp"):
            return None
        owned = self._view.owned(POD, replica_set)
        pods = [one for one in owned if one.get("status", {}).get("phase") not in _FINISHED]
        wanted = replica_set["spec"].get("replicas", 1)
        refusal = self._create(replica_set, wanted - len(pods))
        for pod in _spare(pods, len(pods) - wanted):
            self._store.delete(POD, *key_of(pod))
        return self._report(replica_set, pods, refusal)

    def _refused(self, change: Change) -> Iterable[Key]:
        is_namespace = change.kind is NAMESPACE
        namespace = change.object["metadata"]["name" if is_namespace else "namespace"]
        for one in self._view.all(REPLICA_SET, namespace):
            if condition(one.get("status", {}), _FAILURE):
                yield key_of(one)

    def _create(self, owner: Object, count: int) -> StatusError | None:
        for _ in range(count):
            pod = _pod(owner)
            try:
                admit(self._store, pod)
            except StatusError as error:
                return error
            self._store.create(POD, pod)
        return None

    def _report(self, replica_set: Object, pods: list[Object], refusal: StatusError | None) -> float | None:
        made = copy.deepcopy(replica_set)
        status = made.setdefault("status", {})
        min_ready = replica_set["spec"].get("minReadySeconds", 0)
        waits = [_until_available(pod, min_ready) for pod in pods if is_ready(pod)]
        counts = {
            "fullyLabeledReplicas": len(pods),
            "readyReplicas": len(waits),
            "availableReplicas": sum(1 for wait in waits if wait <= 0),
        }
        for name, count in counts.items():
            status.pop(name, None)
            # Counts of none are left out, as the API server leaves out what is empty.
            status |= {name: count} if count else {}
        status["replicas"] = len(pods)
        status["observedGeneration"] = replica_set["metadata"].get("generation", 1)
        _note_failure(status, refusal)
        self._store.replace(REPLICA_SET, made)
        return min((wait for wait in waits if wait > 0), default=None)


def is_ready(pod: Object) -> bool:
    return is_true(pod.get("status", {}).get("conditions"), "Ready")


def _may_lift_a_refusal(change: Change) -> bool:
    is_freed = change.kind is POD and change.type == "DELETED"
    # Its status is rewritten each time that it is counted.
    is_quota = change.kind is RESOURCE_QUOTA and (
        change.before is None or change.type == "DELETED" or change.before["spec"] != change.object["spec"]
    )
    return is_freed or is_quota or change.kind in (NAMESPACE, SERVICE_ACCOUNT)


def _note_failure(status: Object, refusal: StatusError | None) -> None:
    if refusal is None:
        if condition(status, _FAILURE):
            drop_condition(status, _FAILURE)
        return
    # Each attempt made up another pod name: the first one's words stay while the reason does.
    before = condition(status, _FAILURE)
    if before is None or _reason(before["message"]) != _reason(refusal.message):
        put_condition(
            status, {"type": _FAILURE, "status": "True", "reason": "FailedCreate", "message": refusal.message}
        )


def _reason(message: str) -> str:
    return message.partition(" is forbidden: ")[2] or message


def _until_available(pod: Object, min_ready: int) -> float:
    """Seconds until a ready pod counts as available; 0 or less: it does."""
    if not min_ready:
        return 0.0
    ready = condition(pod["status"], "Ready")
    return min_ready - seconds_since(ready["lastTransitionTime"] if ready else now())


def _spare(pods: list[Object], count: int) -> list[Object]:
    """Which pods to end: those that do least, then the youngest, as the real controller ranks them."""
    ranked = sorted(pods, key=lambda one: int(one["metadata"]["resourceVersion"]), reverse=True)
    ranked.sort(key=lambda one: one["metadata"]["creationTimestamp"], reverse=True)
    ranked.sort(key=lambda one: (bool(one["spec"].get("nodeName")), _phase_rank(one), is_ready(one)))
    return ranked[: max(count, 0)]


def _phase_rank(pod: Object) -> int:
    return {"Pending": 0, "Unknown": 1, "Running": 2}.get(pod.get("status", {}).get("phase", "Pending"), 0)


def _pod(owner: Object) -> Object:
    template = copy.deepcopy(owner["spec"]["template"])
    base = owner["metadata"]["name"] + "-"
    metadata = template.get("metadata") or {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": random_name(base),
            "generateName": base,
            "namespace": owner["metadata"]["namespace"],
            "labels": metadata.get("labels") or {},
            **({"annotations": metadata["annotations"]} if metadata.get("annotations") else {}),
            "ownerReferences": [reference(owner)],
        },
        "spec": template["spec"],
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    }


def reference(owner: Object) -> Object:
    """What an object says of its controller."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
