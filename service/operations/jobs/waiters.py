"""Those who wait for news of a job."""

import asyncio
from contextlib import suppress

_POLL = 0.5
"""How soon a change by another replica is seen, in seconds; our own are told at once."""


class Waiters:
    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def tell(self, job_id: str) -> None:
        """Wake those who wait for a change of this job."""
        for woken in self._waiting.get(job_id, ()):
            woken.set()

    async def changed(self, job_id: str, most: float = _POLL) -> None:
        """Wait for a change, or until it is time to look whether another replica made one."""
        woken = asyncio.Event()
        waiting = self._waiting.setdefault(job_id, set())
        waiting.add(woken)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), min(most, _POLL))
        finally:
            waiting.discard(woken)
            if not waiting:
                self._waiting.pop(job_id, None)
