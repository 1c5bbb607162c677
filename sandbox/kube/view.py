"""What controllers look at: the store's objects as of one revision, by name and by owner, and not to be changed."""

from collections import defaultdict

from sandbox.kube.kinds import STORED, Kind
from sandbox.kube.store import Change, Object, Store

_Key = tuple[str, str]


class View:
    """Follows the store change by change; `revision` is how far it has come."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._objects: dict[str, dict[_Key, Object]] = {}
        self._owned: dict[tuple[str, str], set[_Key]] = {}
        self.revision = 0

    def load(self) -> list[Change]:
        """Begin again from the whole store; gives its objects as if they were new."""
        self._objects = {kind.plural: {} for kind in STORED}
        self._owned = defaultdict(set)
        self.revision = self._store.revision
        changes = [
            Change(self.revision, "ADDED", kind, live, None) for kind in STORED for live in self._store.all(kind)
        ]
        for change in changes:
            self.apply(change)
        return changes

    def apply(self, change: Change) -> None:
        self.revision = change.revision
        kind, key = change.kind, key_of(change.object)
        if change.before is not None and (owner := owner_of(change.before)):
            self._owned[kind.plural, owner["uid"]].discard(key)
        if change.type == "DELETED":
            self._objects[kind.plural].pop(key, None)
            return
        self._objects[kind.plural][key] = change.object
        if owner := owner_of(change.object):
            self._owned[kind.plural, owner["uid"]].add(key)

    @property
    def is_current(self) -> bool:
        return self.revision == self._store.revision

    def find(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self._objects[kind.plural].get((namespace, name))

    def all(self, kind: Kind, namespace: str | None = None) -> list[Object]:
        live = self._objects[kind.plural]
        return [one for (place, _), one in live.items() if namespace in (None, place)]

    def owned(self, kind: Kind, owner: Object) -> list[Object]:
        """Those of a kind that name the owner as their controller."""
        keys = sorted(self._owned.get((kind.plural, owner["metadata"]["uid"]), ()))
        return [self._objects[kind.plural][key] for key in keys]


def key_of(live: Object) -> _Key:
    """Namespace (empty for what has none) and name."""
    return live["metadata"].get("namespace", ""), live["metadata"]["name"]


def owner_of(live: Object) -> Object | None:
    """The reference to the object's controller."""
    references = live["metadata"].get("ownerReferences") or []
    return next((one for one in references if one.get("controller")), None)
