"""Those who wait for news of long work, whatever its kind: for its end, or for each event.

Who waits for the end is not woken by what happens before: each look would be a query.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

from service.base.errors import DatabaseError, LongWork, WaitTimeoutError
from service.models.common import WorkEvent

_POLL = 0.5
"""How soon a change by another replica is seen, in seconds; our own are told at once."""


class _State(Protocol):
    @property
    def is_final(self) -> bool: ...


_Work = TypeVar("_Work")
_Event = TypeVar("_Event", bound=WorkEvent)


class Waiters:
    def __init__(self, *, poll: float = _POLL) -> None:
        self._poll = poll
        self._for_any: dict[str, set[asyncio.Event]] = {}
        self._for_end: dict[str, set[asyncio.Event]] = {}

    def tell(self, work_id: str) -> None:
        """Wake those who wait for a change of this work."""
        for woken in self._for_any.get(work_id, ()):
            woken.set()

    def tell_end(self, work_id: str) -> None:
        """Wake all who wait for this work, which is over."""
        self.tell(work_id)
        for woken in self._for_end.get(work_id, ()):
            woken.set()

    async def wait_for_end(
        self,
        work: LongWork,
        get: Callable[[], Awaitable[_Work]],
        state_of: Callable[[_Work], _State],
        seconds: float,
        *,
        is_repeatable: bool,
    ) -> _Work:
        """The work once it is over. `is_repeatable`: the request that waits may be sent again as it is.

        A database that is away is waited for too: the work goes on, and "nothing was done" would not be true.

        :raises WaitTimeoutError: it goes on.
        """
        ends, last = asyncio.get_running_loop().time() + seconds, "not to be seen: the database is away"
        while True:
            with suppress(DatabaseError):
                present = await get()
                if (state := state_of(present)).is_final:
                    return present
                last = str(state)
            left = ends - asyncio.get_running_loop().time()
            if left <= 0:
                text, after = f"{work.kind.capitalize()} {work.id} is {last}.", 1 if is_repeatable else None
                raise WaitTimeoutError(text, retry_after=after, retryable=is_repeatable, work=work)
            await self._woken(self._for_end, work.id, left)

    async def events(
        self,
        work_id: str,
        is_over: Callable[[], Awaitable[bool]],
        later_than: Callable[[int], Awaitable[Sequence[_Event]]],
        after: int,
    ) -> AsyncGenerator[_Event]:
        """What happened after an event and what happens, until the work is over.

        A database that is away is waited for: the head of the answer is sent, and only a torn stream could tell.
        """
        while True:
            is_last, news = False, list[_Event]()
            with suppress(DatabaseError):
                was_over = await is_over()  # looked at first, so that no event comes after the last look
                news += await later_than(after)
                is_last = was_over
            for event in news:
                after = event.number
                yield event
            if is_last:
                return
            await self.changed(work_id)

    async def changed(self, work_id: str) -> None:
        """Wait for a change, or until it is time to look whether another replica made one."""
        await self._woken(self._for_any, work_id, self._poll)

    async def _woken(self, those: dict[str, set[asyncio.Event]], work_id: str, most: float) -> None:
        woken = asyncio.Event()
        waiting = those.setdefault(work_id, set())
        waiting.add(woken)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), min(most, self._poll))
        finally:
            waiting.discard(woken)
            if not waiting:
                those.pop(work_id, None)
