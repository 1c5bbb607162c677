"""When a request must be over: what is at work for it then is cut off, or keeps the time by itself."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType

from service.base.clock import utcnow

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
