"""Deployments: one ReplicaSet per pod template, and the pods moved from the old ones to the new.

Source: Kubernetes, pkg/controller/deployment.
"""

import copy
from collections.abc import Iterable

from sandbox.kube.kinds import DEPLOYMENT, POD, REPLICA_SET
from sandbox.kube.manager import Key
from sandbox.kube.naming import template_hash
from sandbox.kube.replica_sets import reference
from sandbox.kube.rollout import Limits, grown, is_recreate, scaled, shrunk, size
from sandbox.kube.rollout_status import is_complete, note_progress, status_of, until_deadline
from sandbox.kube.store import Change, Object, Store
from sandbox.kube.view import View, key_of, owner_of

_REVISION = "deployment.kubernetes.io/revision"
_DESIRED = "deployment.kubernetes.io/desired-replicas"
_MOST = "deployment.kubernetes.io/max-replicas"
_HASH = "pod-template-hash"
_NOT_COPIED = {
    _REVISION,
    _DESIRED,
    _MOST,
    "deployment.kubernetes.io/revision-history",
    "kubectl.kubernetes.io/last-applied-configuration",
}
_DEFAULT_HISTORY = 10
_AFTER_DEADLINE = 0.02
"""Seconds past the deadline at which to look, so that it has passed."""


class Deployments:
    """The Deployment controller."""

    def __init__(self, store: Store, view: View) -> None:
        self._store = store
        self._view = view

    def concerns(self, change: Change) -> Iterable[Key]:
        if change.kind is DEPLOYMENT:
            yield key_of(change.object)
        elif change.kind is REPLICA_SET and (owner := owner_of(change.object)) and owner["kind"] == DEPLOYMENT.name:
            yield key_of(change.object)[0], owner["name"]
        elif change.kind is POD and change.type == "DELETED":
            # A rollout by Recreate waits for the last of the old.
            namespace, _ = key_of(change.object)
            yield from (key_of(one) for one in self._view.all(DEPLOYMENT, namespace) if is_recreate(one))

    def reconcile(self, key: Key) -> float | None:
        deployment = self._view.find(DEPLOYMENT, *key)
        if deployment is None or deployment["metadata"].get("deletionTimestamp"):
            return None
        every = sorted(self._view.owned(REPLICA_SET, deployment), key=_revision)
        new = next((one for one in every if _template(one) == deployment["spec"]["template"]), None)
        old = [one for one in every if one is not new]
        sizes, new = self._plan(deployment, new, old)
        for one in [*old, *([new] if new else [])]:
            self._resize(deployment, one, sizes.get(one["metadata"]["name"], size(one)))
        return self._report(deployment, new, old)

    def _plan(self, deployment: Object, new: Object | None, old: list[Object]) -> tuple[dict[str, int], Object | None]:
        """The sizes that ReplicaSets are to have, and the new one, made where the time has come for it."""
        limits = Limits.of(deployment)
        active = [one for one in [*old, *([new] if new else [])] if size(one)]
        if deployment["spec"].get("paused") or _is_scaling(deployment, active):
            return _rescaled(limits, new, old, active), new
        if is_recreate(deployment):
            if any(size(one) for one in old) or self._has_pods(old):
                return {one["metadata"]["name"]: 0 for one in old}, new
            new = self._current(deployment, new, old)
            return {new["metadata"]["name"]: limits.replicas}, new
        new = self._current(deployment, new, old)
        name, wanted = new["metadata"]["name"], grown(limits, new, [new, *old])
        # As the real one does: one look either grows the new or shrinks the old.
        return {name: wanted} if wanted != size(new) else shrunk(limits, new, old), new

    def _has_pods(self, replica_sets: list[Object]) -> bool:
        return any(self._view.owned(POD, one) for one in replica_sets)

    def _current(self, deployment: Object, new: Object | None, old: list[Object]) -> Object:
        """The ReplicaSet of the present template, with the latest revision."""
        revision = max((_revision(one) for one in old), default=0) + 1
        if new is None:
            new = self._create(deployment, revision)
        elif _revision(new) < revision:
            made = copy.deepcopy(new)
            _annotate(made, _REVISION, str(revision))
            new = self._store.replace(REPLICA_SET, made)
        return new

    def _create(self, deployment: Object, revision: int) -> Object:
        namespace, name = key_of(deployment)
        collisions = 0
        while self._view.find(
            REPLICA_SET, namespace, f"{name}-{template_hash(deployment['spec']['template'], collisions)}"
        ):
            collisions += 1
        return self._store.create(REPLICA_SET, _replica_set(deployment, revision, collisions))

    def _resize(self, deployment: Object, one: Object, wanted: int) -> None:
        made = copy.deepcopy(self._store.get(REPLICA_SET, *key_of(one)))
        if made["spec"].get("replicas") != wanted:
            made["spec"]["replicas"] = wanted
            made["metadata"]["generation"] = made["metadata"].get("generation", 1) + 1
        if wanted:
            limits = Limits.of(deployment)
            _annotate(made, _DESIRED, str(limits.replicas))
            _annotate(made, _MOST, str(limits.most))
        self._store.replace(REPLICA_SET, made)

    def _report(self, deployment: Object, new: Object | None, old: list[Object]) -> float | None:
        every = [self._store.get(REPLICA_SET, *key_of(one)) for one in [*old, *([new] if new else [])]]
        made = copy.deepcopy(deployment)
        is_new = new is not None and self._view.find(REPLICA_SET, *key_of(new)) is None
        if new is not None:
            _annotate(made, _REVISION, new["metadata"]["annotations"][_REVISION])
            if is_new:
                text = f'Created new replica set "{new["metadata"]["name"]}"'
                note_progress(made.setdefault("status", {}), "True", "NewReplicaSetCreated", text)
        status = status_of(made, every[-1] if new else None, every)
        _note_pause(made, status)
        made["status"] = status
        self._store.replace(DEPLOYMENT, made)
        if is_complete(made, status):
            self._forget_history(made, old)
        left = until_deadline(made, status)
        return None if left is None else max(left, 0.0) + _AFTER_DEADLINE

    def _forget_history(self, deployment: Object, old: list[Object]) -> None:
        idle = [one for one in old if not size(one) and not one.get("status", {}).get("replicas")]
        kept = deployment["spec"].get("revisionHistoryLimit", _DEFAULT_HISTORY)
        for one in idle[: max(0, len(idle) - kept)]:
            self._store.delete(REPLICA_SET, *key_of(one))


def _replica_set(deployment: Object, revision: int, collisions: int) -> Object:
    spec, metadata = deployment["spec"], deployment["metadata"]
    hashed = template_hash(spec["template"], collisions)
    template = copy.deepcopy(spec["template"])
    template.setdefault("metadata", {}).setdefault("labels", {})[_HASH] = hashed
    selector = copy.deepcopy(spec["selector"])
    selector["matchLabels"] = (selector.get("matchLabels") or {}) | {_HASH: hashed}
    copied = {name: text for name, text in (metadata.get("annotations") or {}).items() if name not in _NOT_COPIED}
    return {
        "apiVersion": REPLICA_SET.api_version,
        "kind": REPLICA_SET.name,
        "metadata": {
            "name": f"{metadata['name']}-{hashed}",
            "namespace": metadata["namespace"],
            "labels": dict(template["metadata"]["labels"]),
            "annotations": copied | {_REVISION: str(revision)},
            "ownerReferences": [reference(deployment)],
            "generation": 1,
        },
        "spec": {
            "replicas": 0,
            "selector": selector,
            "template": template,
            **({"minReadySeconds": spec["minReadySeconds"]} if spec.get("minReadySeconds") else {}),
        },
        "status": {"replicas": 0},
    }


def _template(replica_set: Object) -> Object:
    """The pod template without the label that tells it from others."""
    template: Object = copy.deepcopy(replica_set["spec"]["template"])
    template["metadata"]["labels"].pop(_HASH, None)
    return template


def _revision(replica_set: Object) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(_REVISION, 0))


def _annotate(deployment: Object, name: str, text: str) -> None:
    deployment["metadata"]["annotations"] = (deployment["metadata"].get("annotations") or {}) | {name: text}


def _is_scaling(deployment: Object, active: list[Object]) -> bool:
    wanted = str(deployment["spec"].get("replicas", 1))
    return any((one["metadata"].get("annotations") or {}).get(_DESIRED, wanted) != wanted for one in active)


def _rescaled(limits: Limits, new: Object | None, old: list[Object], active: list[Object]) -> dict[str, int]:
    if len(active) <= 1:
        only = active[0] if active else new or (old[-1] if old else None)
        return {only["metadata"]["name"]: limits.replicas} if only else {}
    if new and size(new) == limits.replicas == new.get("status", {}).get("availableReplicas", 0):
        return {one["metadata"]["name"]: 0 for one in old}
    return scaled(limits, active)


def _note_pause(deployment: Object, status: Object) -> None:
    progressing = next((one for one in status["conditions"] if one["type"] == "Progressing"), None)
    is_noted = progressing is not None and progressing["reason"] == "DeploymentPaused"
    if deployment["spec"].get("paused") and not is_noted:
        note_progress(status, "Unknown", "DeploymentPaused", "Deployment is paused")
    elif is_noted and not deployment["spec"].get("paused"):
        note_progress(status, "Unknown", "DeploymentResumed", "Deployment is resumed")
