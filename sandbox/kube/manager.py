"""Runs the controllers: each says which keys a change concerns, and is asked to bring those to order.

One at a time, on a view that is exactly as recent as the store: what a controller reads cannot be out of date, so its
writes never conflict. Nothing runs where nothing changes and no time was asked for.
"""

import logging
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Protocol

from sandbox.clock import CLOCK, Timer
from sandbox.kube.errors import StatusError
from sandbox.kube.store import Change, Store
from sandbox.kube.view import View

Key = tuple[str, str]
_log = logging.getLogger(__name__)


class Controller(Protocol):
    """Brings what a key (namespace, name) stands for to the state that its objects ask for."""

    def concerns(self, change: Change) -> Iterable[Key]:
        """The keys to look at after a change."""

    def reconcile(self, key: Key) -> float | None:
        """One look. Gives after how many seconds to look again though nothing changes; None: not at all."""


class Manager:
    """Feeds controllers from the store's watch, from its beginning or after a restart."""

    def __init__(self, store: Store, view: View, controllers: Sequence[Controller]) -> None:
        self._store = store
        self._view = view
        self._controllers = controllers
        self._queue: dict[tuple[int, Key], None] = {}
        self._timers: dict[tuple[int, Key], Timer] = {}

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await self._follow()
        finally:
            for timer in self._timers.values():
                timer.cancel()

    async def _follow(self) -> None:
        for change in self._view.load():
            self._enqueue(change)
        self._drain()
        try:
            async for change in self._store.watch(self._view.revision):
                self._view.apply(change)
                self._enqueue(change)
                self._drain()
        except StatusError:
            # The history was compacted under us: begin again from the whole.
            return

    def _enqueue(self, change: Change) -> None:
        for number, controller in enumerate(self._controllers):
            for key in controller.concerns(change):
                self._queue[number, key] = None

    def _drain(self) -> None:
        # Where the view is behind, its watch is about to bring us here again.
        while self._queue and self._view.is_current:
            entry = min(self._queue)
            del self._queue[entry]
            self._reconcile(entry)

    def _reconcile(self, entry: tuple[int, Key]) -> None:
        number, key = entry
        if timer := self._timers.pop(entry, None):
            timer.cancel()
        try:
            again = self._controllers[number].reconcile(key)
        except Exception:  # noqa: BLE001 - one defect must not stop every controller
            _log.exception("could not bring %s to order", key)
            return
        if again is not None:
            self._timers[entry] = CLOCK.call_later(again, partial(self._wake, entry))

    def _wake(self, entry: tuple[int, Key]) -> None:
        self._queue[entry] = None
        self._drain()
