"""What a Deployment's status says: counts, and the conditions Available, Progressing and ReplicaFailure.

Source: Kubernetes, pkg/controller/deployment/progress.go and sync.go, `calculateStatus`.
"""

import copy

from sandbox.kube.conditions import condition, drop_condition, put_condition, seconds_since
from sandbox.kube.rollout import Limits, count
from sandbox.kube.store import Object, now

_COUNTS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")
_DONE = "NewReplicaSetAvailable"
_LONGEST_DEADLINE = 2_147_483_647
"""Documented as no deadline at all."""
_DEFAULT_DEADLINE = 600


def status_of(deployment: Object, new: Object | None, every: list[Object]) -> Object:
    """The status as the ReplicaSets give it now; `new` is the one of the present template, if it is there yet."""
    before = deployment.get("status", {})
    status = {name: value for name, value in copy.deepcopy(before).items() if name not in _COUNTS}
    limits = Limits.of(deployment)
    available = count(every, "availableReplicas")
    total = sum(one["spec"].get("replicas", 1) for one in every)
    counts = {
        "replicas": count(every, "replicas"),
        "updatedReplicas": count([new], "replicas") if new else 0,
        "readyReplicas": count(every, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, total - available),
    }
    status |= {name: number for name, number in counts.items() if number}
    status["observedGeneration"] = deployment["metadata"].get("generation", 1)
    _put(status, _availability(is_enough=available >= limits.fewest_available))
    if not deployment["spec"].get("paused"):
        _progress(deployment, status, before, new)
    _failure(status, new, every)
    return status


def note_progress(status: Object, is_progressing: str, reason: str, message: str) -> None:
    """Set the Progressing condition, with a new update time."""
    made = {"type": "Progressing", "status": is_progressing, "reason": reason, "message": message}
    put_condition(status, made | {"lastUpdateTime": now()})


def is_complete(deployment: Object, status: Object) -> bool:
    replicas = deployment["spec"].get("replicas", 1)
    wanted = ("updatedReplicas", "replicas", "availableReplicas")
    return all(status.get(name, 0) == replicas for name in wanted)


def until_deadline(deployment: Object, status: Object) -> float | None:
    """Seconds until a rollout that makes no progress has failed; None: it can't, or has."""
    progressing = condition(status, "Progressing")
    deadline = deployment["spec"].get("progressDeadlineSeconds", _DEFAULT_DEADLINE)
    is_over = progressing is None or progressing["reason"] in (_DONE, "ProgressDeadlineExceeded")
    if is_over or deadline == _LONGEST_DEADLINE or deployment["spec"].get("paused"):
        return None
    return float(deadline - seconds_since(progressing["lastUpdateTime"])) if progressing else None


def _progress(deployment: Object, status: Object, before: Object, new: Object | None) -> None:
    present = condition(status, "Progressing")
    named = f'ReplicaSet "{new["metadata"]["name"]}"' if new else f'Deployment "{deployment["metadata"]["name"]}"'
    is_settled = present is not None and present["reason"] == _DONE
    if is_settled and status.get("replicas", 0) == status.get("updatedReplicas", 0):
        return
    if is_complete(deployment, status):
        note_progress(status, "True", _DONE, f"{named} has successfully progressed.")
    elif _has_moved(before, status):
        note_progress(status, "True", "ReplicaSetUpdated", f"{named} is progressing.")
    else:
        left = until_deadline(deployment, status)
        if left is not None and left <= 0:
            note_progress(status, "False", "ProgressDeadlineExceeded", f"{named} has timed out progressing.")


def _has_moved(before: Object, after: Object) -> bool:
    def old(status: Object) -> int:
        return int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))

    grew = any(after.get(one, 0) > before.get(one, 0) for one in ("updatedReplicas", "readyReplicas"))
    return grew or old(after) < old(before) or after.get("availableReplicas", 0) > before.get("availableReplicas", 0)


def _availability(*, is_enough: bool) -> Object:
    if is_enough:
        text = "Deployment has minimum availability."
        return {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable", "message": text}
    text = "Deployment does not have minimum availability."
    return {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable", "message": text}


def _failure(status: Object, new: Object | None, every: list[Object]) -> None:
    first = [new] if new else []
    failures = (condition(one.get("status", {}), "ReplicaFailure") for one in [*first, *every])
    failure = next((one for one in failures if one), None)
    if failure is None:
        drop_condition(status, "ReplicaFailure")
    else:
        _put(status, {name: failure[name] for name in ("type", "status", "reason", "message")})


def _put(status: Object, made: Object) -> None:
    """Set a condition, unless it says the same already."""
    before = condition(status, made["type"])
    if before is None or any(before.get(name) != value for name, value in made.items()):
        put_condition(status, made | {"lastUpdateTime": now()})
