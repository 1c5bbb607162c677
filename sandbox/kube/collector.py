"""Garbage collection: what outlives its owner or its namespace goes; a namespace's default service account comes."""

from collections.abc import Iterable

from sandbox.kube.kinds import NAMESPACE, SERVICE_ACCOUNT, STORED, Kind
from sandbox.kube.manager import Key
from sandbox.kube.store import Change, Object, Store
from sandbox.kube.view import View, key_of, owner_of

_KINDS = {kind.name: kind for kind in STORED}
_DEFAULT = "default"


class Collector:
    """The garbage collector, by the references of objects to their controllers.

    Its keys are kind and uid of owners that are gone.
    """

    def __init__(self, store: Store, view: View) -> None:
        self._store = store
        self._view = view

    def concerns(self, change: Change) -> Iterable[Key]:
        if change.type == "DELETED":
            yield change.kind.name, change.object["metadata"]["uid"]
        elif (owner := owner_of(change.object)) and owner["kind"] in _KINDS:
            owner_now = self._owner(owner, change.object)
            if owner_now is None or owner_now["metadata"]["uid"] != owner["uid"]:
                yield owner["kind"], owner["uid"]

    def reconcile(self, key: Key) -> None:
        _, uid = key
        gone = {"metadata": {"uid": uid}}
        for kind in STORED:
            for orphan in self._view.owned(kind, gone):
                self._store.delete(kind, *key_of(orphan))

    def _owner(self, reference: Object, owned: Object) -> Object | None:
        kind = _KINDS[reference["kind"]]
        namespace = owned["metadata"].get("namespace", "") if kind.is_namespaced else ""
        return self._view.find(kind, namespace, reference["name"])


class Namespaces:
    """Empties a namespace that was deleted, and gives each its service account."""

    def __init__(self, store: Store, view: View) -> None:
        self._store = store
        self._view = view

    def concerns(self, change: Change) -> Iterable[Key]:
        if change.kind is NAMESPACE:
            yield "", change.object["metadata"]["name"]
        elif change.kind is SERVICE_ACCOUNT and change.type == "DELETED":
            yield "", key_of(change.object)[0]

    def reconcile(self, key: Key) -> None:
        _, namespace = key
        if self._view.find(NAMESPACE, "", namespace) is None:
            self._empty(namespace)
        elif self._view.find(SERVICE_ACCOUNT, namespace, _DEFAULT) is None:
            self._store.create(SERVICE_ACCOUNT, default_account(namespace))

    def _empty(self, namespace: str) -> None:
        kinds: list[Kind] = [kind for kind in STORED if kind.is_namespaced]
        for kind in kinds:
            for live in self._view.all(kind, namespace):
                self._store.delete(kind, *key_of(live))


def default_account(namespace: str) -> Object:
    """The service account that every namespace has."""
    metadata = {"name": _DEFAULT, "namespace": namespace}
    return {"apiVersion": SERVICE_ACCOUNT.api_version, "kind": SERVICE_ACCOUNT.name, "metadata": metadata}
