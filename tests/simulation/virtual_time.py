"""Time that stands still while there is work and jumps to the next timer when there is none."""

import asyncio
import selectors
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from datetime import UTC, datetime, timedelta
from typing import Any

from service.clock import Clock, running

_Callback = Callable[..., Any]

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
    """An event loop without sockets or threads, whose `time` is the history's, and in which parts can stand still."""

    def __init__(self, frozen_until: Callable[[], float]) -> None:
        """:param frozen_until: asked in a callback's own context, when it may run."""
        self._jumping = _Jumping()
        self._frozen_until = frozen_until
        self._postponed = 0
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def call_soon(  # type: ignore[override] # as asyncio's, but for its generics
        self,
        callback: _Callback,
        *args: Any,  # noqa: ANN401 - as asyncio's
        context: Context | None = None,
    ) -> asyncio.Handle:
        within = context or copy_context()
        first: list[asyncio.Handle] = []
        first.append(super().call_soon(self._run, within, first, callback, args, context=within))
        return first[0]

    def call_at(  # type: ignore[override] # as above
        self,
        when: float,
        callback: _Callback,
        *args: Any,  # noqa: ANN401 - as above
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        within = context or copy_context()
        first: list[asyncio.Handle] = []
        timer = super().call_at(when, self._run, within, first, callback, args, context=within)
        first.append(timer)
        return timer

    def _run(self, context: Context, first: list[asyncio.Handle], callback: _Callback, args: tuple[Any, ...]) -> None:
        """Now, or once its part of the world goes on; unless it was called off by the handle that was given for it."""
        if first[0].cancelled():
            return
        if (thaw := self._frozen_until()) > self.time():
            # In their order: timers of the same time have none.
            self._postponed += 1
            super().call_at(thaw + self._postponed * 1e-8, self._run, context, first, callback, args, context=context)
        else:
            callback(*args)


@contextmanager
def clock_of(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Within this, the service's clock follows the loop."""
    with running(Clock(wall=lambda: EPOCH + timedelta(seconds=loop.time()), tick=loop.time)):
        yield
