"""Time that stands still while there is work and jumps to the next timer when there is none."""

import asyncio
import selectors
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import service.clock

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
"""What every history begins at."""


class StuckError(Exception):
    """Nothing is ready and no timer is set: what is waited for never comes."""


class _Jumping(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise StuckError
        self.now += max(timeout, 0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop without sockets or threads, whose `time` is the history's."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


@contextmanager
def clock_of(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Within this, the service's clock follows the loop."""
    real: Any = service.clock

    class Virtual(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:  # noqa: ANN401, ARG003 - the signature of what it stands for
            return EPOCH + timedelta(seconds=loop.time())

    before, real.datetime = real.datetime, Virtual
    try:
        yield
    finally:
        real.datetime = before
