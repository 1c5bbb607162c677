"""The sweep: gives every operation whose answer was lost its outcome, by looking at what AWS has."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import structlog

from service.authz import Action
from service.errors import DatabaseError
from service.ledger import Ledger, Open
from service.operations import Operations

log = structlog.get_logger()


class Settlement:
    """Settles open rows past their deadline plus a grace. Several replicas may sweep: each row is claimed by one."""

    def __init__(self, *, ledger: Ledger, operations: Operations, grace: timedelta, interval: timedelta) -> None:
        self._ledger = ledger
        self._operations = operations
        self._grace = grace
        self._interval = interval
        self._is_stopped = asyncio.Event()

    async def run(self) -> None:
        """Sweep until stopped; a database or AWS that is away is tried again at the next beat."""
        while not self._is_stopped.is_set():
            try:
                await self.sweep()
            except DatabaseError:
                log.warning("sweep_postponed", reason="database_unavailable")
            except Exception:
                log.exception("sweep_failed")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_stopped.wait(), self._interval.total_seconds())

    def stop(self) -> None:
        """End after the row that is being settled: what is claimed beyond it is free again after the grace."""
        self._is_stopped.set()

    async def count_unsettled(self) -> int:
        """:raises DatabaseError: the database is away."""
        return await self._ledger.count_unsettled()

    async def sweep(self) -> int:
        """Settle what is overdue; says how many rows got their outcome."""
        known = self._operations.settled_actions
        rows = await self._ledger.claim(known, overdue_since=self._grace, hold=self._grace)
        settled = 0
        for row in rows:
            if self._is_stopped.is_set():
                break
            found = await self._operations.settle(
                Open(row["id"], Action(row["action"]), row["registry_name"], row["request"])
            )
            if found:
                await self._ledger.settle(row, found)
                log.info("settled", operation=row["id"], status=found.status, note=found.note)
                settled += 1
        await self._ledger.forget_expired_keys()
        return settled
