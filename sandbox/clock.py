"""The sandbox's time: the machine's, plus what it was advanced by. Everything that ages or waits here goes by it.

Only the dates of signatures are compared with the machine's own time, as that is the one their makers have.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class Timer:
    """A call that is due at a time of the clock, in the event loop that made it."""

    def __init__(self, clock: "Clock", due: float, act: Callable[[], object]) -> None:
        self._clock = clock
        self._due = due
        self._act = act
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None
        self.arm()

    def arm(self) -> None:
        """Wait for what is left from now on."""
        self.cancel()
        self._handle = self._loop.call_later(max(self._due - self._clock.steady(), 0.0), self._fire)
        self._clock.pending.add(self)

    def arm_soon(self) -> None:
        """From any thread."""
        self._loop.call_soon_threadsafe(self._arm_again)

    def cancel(self) -> None:
        if self._handle:
            self._handle.cancel()
        self._clock.pending.discard(self)

    def _arm_again(self) -> None:
        if self in self._clock.pending:
            self.arm()

    def _fire(self) -> None:
        self._clock.pending.discard(self)
        self._act()


class Clock:
    """Goes on by itself, and further when told to; never back, but by a reset."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self.pending: set[Timer] = set()

    def time(self) -> float:
        """Seconds since 1970."""
        return time.time() + self._ahead

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time(), UTC)

    def steady(self) -> float:
        """Seconds since whenever: the machine's time may be set while somebody waits."""
        return time.monotonic() + self._ahead

    def advance(self, by: timedelta) -> None:
        """From any thread; what becomes due by it happens in the next turns of its event loop.

        :raises ValueError: it would go back.
        """
        if by < timedelta():
            raise ValueError(by)
        self._move(self._ahead + by.total_seconds())

    def reset(self) -> None:
        """Tell the machine's time again."""
        self._move(0.0)

    def call_later(self, seconds: float, act: Callable[[], object]) -> Timer:
        return Timer(self, self.steady() + seconds, act)

    async def sleep(self, seconds: float) -> None:
        over = asyncio.Event()
        timer = self.call_later(seconds, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()

    def _move(self, ahead: float) -> None:
        self._ahead = ahead
        for timer in list(self.pending):
            timer.arm_soon()


CLOCK = Clock()
"""The one of this process, as moto's state is."""
