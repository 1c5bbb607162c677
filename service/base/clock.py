"""Time and identifiers, in one place so that both are aware and sortable."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType

import uuid_utils

_JITTER = timedelta(seconds=1)
"""A clock that is behind by less is being adjusted, and not set back."""
_wall = partial(datetime.now, UTC)
_SOON = _JITTER.total_seconds()
# The monotonic clock stands still while the machine is suspended; this one goes on, where there is one.
_tick = partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic


class Clock:
    """Only goes forward. While the machine's clock is behind, as it was set back, this one goes on by itself.

    Leases, deadlines and the sweep hang on it: by a clock that was set back, none would end until it has caught up.
    """

    def __init__(self, wall: Callable[[], datetime] = _wall, tick: Callable[[], float] = _tick) -> None:
        self._wall = wall
        self._tick = tick
        self._latest = self._agreed = wall()
        self._agreed_at = tick()

    def now(self) -> datetime:
        wall, tick = self._wall(), self._tick()
        # Asked five times for a vend: so soon after the last time, what is not behind that is not behind at all.
        if wall >= self._latest and tick - self._agreed_at < _SOON:
            self._latest = self._agreed = wall
            self._agreed_at = tick
            return wall
        expected = self._agreed + timedelta(seconds=tick - self._agreed_at)
        if wall > expected - _JITTER:
            self._agreed, self._agreed_at = wall, tick
            expected = wall
        self._latest = max(self._latest, expected)
        return self._latest


_clock = Clock()


@contextmanager
def running(clock: Clock) -> Iterator[None]:
    """Within this, all time is that of `clock`: for tests that move it by hand."""
    global _clock  # noqa: PLW0603 - there is one time
    before, _clock = _clock, clock
    try:
        yield
    finally:
        _clock = before


def utcnow() -> datetime:
    return _clock.now()


def new_id() -> str:
    """A UUID version 7: identifiers made later sort later, which is what keyset cursors page by."""
    return str(uuid_utils.uuid7())


_RECORDING = 0.1
"""The part of a request's time that is kept for recording what came of it."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """When one request must be over: `loop_time` for asyncio, `at` for the audit row.

    What is done at AWS must be over at `act_by`, so that the outcome is recorded in time.
    """

    loop_time: float
    at: datetime
    act_by: float

    @property
    def act_until(self) -> datetime:
        """`act_by` by the clock of the sweep, which asyncio's is behind once the machine was suspended."""
        return self.at - timedelta(seconds=self.loop_time - self.act_by)

    @classmethod
    def after(cls, span: timedelta) -> "Deadline":
        seconds = span.total_seconds()
        ends = asyncio.get_running_loop().time() + seconds
        return cls(ends, utcnow() + span, ends - seconds * _RECORDING)


@dataclass(slots=True)
class _Limit:
    timeout: asyncio.Timeout | None
    """None once it is over: work that a request leaves behind has this in its context still."""


_limit: ContextVar[_Limit | None] = ContextVar("limit", default=None)


class bounded:  # noqa: N801 - used as a function is; a generator would cost every request more
    """Cuts off at the deadline whatever does not keep it by itself.

    :raises TimeoutError: it was cut off.
    """

    __slots__ = ("_limit", "_timeout", "_token")

    def __init__(self, deadline: Deadline) -> None:
        self._timeout = asyncio.timeout_at(deadline.loop_time)
        self._limit = _Limit(self._timeout)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._token = _limit.set(self._limit)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._limit.timeout = None
        _limit.reset(self._token)
        await self._timeout.__aexit__(kind, error, trace)


@contextmanager
def unbounded() -> Iterator[None]:
    """For what keeps the deadline by itself, or may take longer: `bounded` does not cut it off."""
    limit = _limit.get()
    timeout = limit.timeout if limit else None
    if timeout is None or timeout.expired():
        yield
        return
    ends = timeout.when()
    timeout.reschedule(None)
    try:
        yield
    finally:
        timeout.reschedule(ends)
