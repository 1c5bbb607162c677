"""The objects of the cluster, as etcd keeps them: one revision for all, and a history that watches resume from.

One event loop owns it: what is between two awaits is one step. Objects that come out are copies.
"""

import asyncio
import copy
import json
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from sandbox.clock import CLOCK
from sandbox.kube.errors import already_exists, expired, not_found, stale
from sandbox.kube.kinds import STORED, Kind
from sandbox.state import State

Object = dict[str, Any]
_KEPT = 5000
"""How many changes back a watch can resume from."""


@dataclass(frozen=True, slots=True)
class Change:
    """One step in the life of an object; `before` is what it was, None for one that is new."""

    revision: int
    type: Literal["ADDED", "MODIFIED", "DELETED"]
    kind: Kind
    object: Object
    before: Object | None


class Store:
    """Creates, replaces and deletes whole objects; uid, resourceVersion and creationTimestamp are all it sets."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._objects: dict[tuple[str, str, str], Object] = {}
        self._revision = 0
        self._history: deque[Change] = deque(maxlen=_KEPT)
        self._oldest = 0
        self._watchers: set[asyncio.Event] = set()
        self._load()

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def oldest(self) -> int:
        """What came after this revision is still known; a watch from before it is told 410."""
        return self._oldest

    def get(self, kind: Kind, namespace: str | None, name: str) -> Object:
        """:raises StatusError: 404, there is none."""
        stored = self._objects.get((kind.plural, namespace or "", name))
        if stored is None:
            raise not_found(kind.plural, kind.group, name)
        return copy.deepcopy(stored)

    def find(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        stored = self._objects.get((kind.plural, namespace or "", name))
        return copy.deepcopy(stored) if stored else None

    def all(
        self, kind: Kind, namespace: str | None = None, selects: Callable[[Object], bool] = lambda _: True
    ) -> Iterator[Object]:
        """Those of a kind by namespace and name; in every namespace where none is named."""
        for (plural, place, _), stored in sorted(self._objects.items()):
            if plural == kind.plural and namespace in (None, place) and selects(stored):
                yield copy.deepcopy(stored)

    def create(self, kind: Kind, made: Object) -> Object:
        """:raises StatusError: 409 AlreadyExists."""
        metadata = made.setdefault("metadata", {})
        key = (kind.plural, metadata.get("namespace", ""), metadata["name"])
        if key in self._objects:
            raise already_exists(kind.plural, kind.group, metadata["name"])
        metadata.setdefault("uid", str(uuid.uuid4()))
        metadata.setdefault("creationTimestamp", now())
        return self._write("ADDED", kind, key, made)

    def replace(self, kind: Kind, made: Object) -> Object:
        """The object anew. One with a `resourceVersion` must name the present one; the same again is no change.

        :raises StatusError: 404; 409 Conflict, it has changed since.
        """
        metadata = made["metadata"]
        key = (kind.plural, metadata.get("namespace", ""), metadata["name"])
        before = self._objects.get(key)
        if before is None:
            raise not_found(kind.plural, kind.group, metadata["name"])
        present = before["metadata"]["resourceVersion"]
        if metadata.get("resourceVersion", present) != present:
            raise stale(kind.plural, kind.group, metadata["name"])
        metadata["resourceVersion"] = present
        if made == before:
            return copy.deepcopy(before)
        return self._write("MODIFIED", kind, key, made)

    def delete(self, kind: Kind, namespace: str | None, name: str) -> Object:
        """:raises StatusError: 404, there is none."""
        key = (kind.plural, namespace or "", name)
        if key not in self._objects:
            raise not_found(kind.plural, kind.group, name)
        return self._write("DELETED", kind, key, copy.deepcopy(self._objects[key]))

    async def watch(self, since: int) -> AsyncIterator[Change]:
        """Every change after a revision, of all kinds, for ever.

        :raises StatusError: 410 Expired, what came after that revision is forgotten.
        """
        if since < self._oldest:
            raise expired(since, self._oldest)
        woken = asyncio.Event()
        self._watchers.add(woken)
        try:
            while True:
                woken.clear()
                if since < self._oldest:
                    raise expired(since, self._oldest)
                for change in [one for one in self._history if one.revision > since]:
                    since = change.revision
                    yield change
                if not woken.is_set():
                    await woken.wait()
        finally:
            self._watchers.discard(woken)

    def forget_history(self) -> None:
        """As a compaction of etcd does: watches from before this revision are told 410."""
        self._history.clear()
        self._oldest = self._revision
        self._wake()

    def clear(self) -> None:
        """Delete everything, change by change, so that those who watch see it."""
        kinds = {kind.plural: kind for kind in STORED}
        for plural, namespace, name in list(self._objects):
            self.delete(kinds[plural], namespace, name)

    def _write(
        self, change: Literal["ADDED", "MODIFIED", "DELETED"], kind: Kind, key: tuple[str, str, str], made: Object
    ) -> Object:
        before = self._objects.get(key)
        self._revision += 1
        made["metadata"]["resourceVersion"] = str(self._revision)
        kept = copy.deepcopy(made)
        if change == "DELETED":
            del self._objects[key]
            self._state.sql.execute("DELETE FROM kube_objects WHERE plural = ? AND namespace = ? AND name = ?", key)
        else:
            self._objects[key] = kept
            self._state.sql.execute("INSERT OR REPLACE INTO kube_objects VALUES (?, ?, ?, ?)", (*key, json.dumps(kept)))
        if len(self._history) == _KEPT:
            self._oldest = self._history[0].revision
        self._history.append(Change(self._revision, change, kind, kept, before))
        self._wake()
        return copy.deepcopy(kept)

    def _wake(self) -> None:
        for woken in self._watchers:
            woken.set()

    def _load(self) -> None:
        for row in self._state.all("SELECT * FROM kube_objects"):
            stored = json.loads(row["content"])
            self._objects[row["plural"], row["namespace"], row["name"]] = stored
            self._revision = max(self._revision, int(stored["metadata"]["resourceVersion"]))
        self._oldest = self._revision


def now() -> str:
    """The present as Kubernetes writes it: whole seconds, UTC."""
    return CLOCK.now().strftime("%Y-%m-%dT%H:%M:%SZ")
