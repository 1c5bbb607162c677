"""Time and identifiers, in one place so that both are aware and sortable."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import uuid_utils

_JITTER = timedelta(seconds=1)
"""A clock that is behind by less is being adjusted, and not set back."""


class Clock:
    """Only goes forward. While the machine's clock is behind, as it was set back, this one goes on by itself.

    Leases, deadlines and the sweep hang on it: by a clock that was set back, none would end until it has caught up.
    """

    def __init__(
        self, wall: Callable[[], datetime] = lambda: datetime.now(UTC), tick: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self._tick = tick
        self._latest = self._agreed = wall()
        self._agreed_at = tick()

    def now(self) -> datetime:
        wall, tick = self._wall(), self._tick()
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


@asynccontextmanager
async def bounded(deadline: Deadline) -> AsyncIterator[None]:
    """Cuts off at the deadline whatever does not keep it by itself.

    :raises TimeoutError: it was cut off.
    """
    async with asyncio.timeout_at(deadline.loop_time) as timeout:
        limit = _Limit(timeout)
        token = _limit.set(limit)
        try:
            yield
        finally:
            limit.timeout = None
            _limit.reset(token)


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
