"""Time and identifiers, in one place so that both are aware and sortable. A request's end is `deadlines`."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

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
