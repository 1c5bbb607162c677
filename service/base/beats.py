"""What a process does again and again, whatever became of the last time."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

import structlog

from service.base.errors import DatabaseError

log = structlog.get_logger()


class Beat:
    """A duty that is done at once, then an interval after each time, or as soon as it is woken."""

    def __init__(
        self, name: str, act: Callable[[], Awaitable[object]], every: timedelta, *, spread: float = 0.0
    ) -> None:
        """:param spread: by which part of it an interval may be longer or shorter, so that replicas don't march."""
        self._name = name
        self._act = act
        self._every = every.total_seconds()
        self._spread = spread
        self._woken = asyncio.Event()
        self.is_stopped = False
        """Whether it is to be done no more: who is at it may end early."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self.run(), name=self._name)

    async def run(self) -> None:
        """Until it is stopped. A database that is away, or a defect, is tried again at the next beat."""
        while not self.is_stopped:
            self._woken.clear()
            await self._once()
            if not self.is_stopped:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), self._interval())

    def wake(self) -> None:
        """Do it now, or at once again where it is being done."""
        self._woken.set()

    def stop(self) -> None:
        """Do it no more, once it is done where it is being done."""
        self.is_stopped = True
        self._woken.set()

    async def close(self, within: float) -> None:
        """Stop, and wait for it: it is not cut off before `within` seconds.

        A driver's thread that is cut off answers to a loop that is gone.
        """
        self.stop()
        if self._task:
            with suppress(asyncio.CancelledError, TimeoutError):
                await asyncio.wait_for(self._task, within)

    async def _once(self) -> None:
        try:
            await self._act()
        except DatabaseError as error:
            log.warning("postponed", duty=self._name, reason="database_unavailable", text=error.reason)
        except Exception:
            log.exception("duty_failed", duty=self._name)

    def _interval(self) -> float:
        return self._every * random.uniform(1 - self._spread, 1 + self._spread)  # noqa: S311 - spreads, hides nothing
