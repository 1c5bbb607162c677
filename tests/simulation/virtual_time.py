"""Time that stands still while there is work and jumps to the next timer when there is none."""

import asyncio
import selectors
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from datetime import UTC, datetime, timedelta
from typing import Any

from service.base.clock import Clock, running

_Callback = Callable[..., Any]

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
"""What every history begins at."""
_INSTANT = 1e-8


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

    def __init__(self, frozen_until: Callable[[Context], float], slept: Callable[[Context], float]) -> None:
        """:param frozen_until: when what has this context may run.

        :param slept: for how many seconds its time stood still.
        """
        self._jumping = _Jumping()
        self._frozen_until = frozen_until
        self._slept = slept
        self._postponed = 0
        super().__init__(self._jumping)

    @property
    def now(self) -> float:
        """The history's time, which nothing stops."""
        return self._jumping.now

    def time(self) -> float:
        """As the machine of whoever asks counts it."""
        return self.now - self._slept(copy_context())

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
        ends, slept = when + self._slept(copy_context()), self._slept(within)
        timer = super().call_at(ends, self._run_after, ends - slept, within, first, callback, args, context=within)
        first.append(timer)
        return timer

    def _run_after(self, ends: float, context: Context, *rest: Any) -> None:  # noqa: ANN401 - as below
        """:param ends: in the time of its own machine, which may have stood still meanwhile."""
        if (at := ends + self._slept(context)) > self.now + _INSTANT:
            super().call_at(at, self._run_after, ends, context, *rest, context=context)
        else:
            self._run(context, *rest)

    def _run(self, context: Context, first: list[asyncio.Handle], callback: _Callback, args: tuple[Any, ...]) -> None:
        """Now, or once its part of the world goes on; unless it was called off by the handle that was given for it."""
        if first[0].cancelled():
            return
        if (thaw := self._frozen_until(context)) > self.now:
            # In their order: timers of the same time have none.
            self._postponed += 1
            super().call_at(
                thaw + self._postponed * _INSTANT, self._run, context, first, callback, args, context=context
            )
        else:
            callback(*args)


@contextmanager
def clock_of(loop: VirtualLoop) -> Iterator[None]:
    """Within this, the service's clock follows the loop."""
    with running(Clock(wall=lambda: EPOCH + timedelta(seconds=loop.now), tick=lambda: loop.now)):
        yield
