"""The sweep: gives every operation whose answer was lost its outcome."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import structlog

from service.access.actions import Action
from service.base.beats import Beat
from service.base.clock import utcnow
from service.base.errors import DatabaseError
from service.base.settings import DeadlineSettings
from service.models.audit import Status
from service.operations.calls import Settled
from service.operations.cloudtrail_witness import CloudTrailWitness, TrailOf
from service.operations.core import Core
from service.operations.ledger import MOST_CLAIMED, Ledger, open_of
from service.operations.operations import Operations

_MOST_LOOKS = 16
"""At AWS at once, so that the sweep after an outage does not take the callers' share of its rates."""
_LONGEST_LOOK = timedelta(seconds=60)
_HOLD = 2 * _LONGEST_LOOK
_NEXT_EVENT = timedelta(seconds=30)
"""Between two questions to CloudTrail, which answers two a second."""

log = structlog.get_logger()

Row = Mapping[str, Any]


class Settlement:
    """Settles open rows past their deadline plus a grace. Several replicas may sweep: each row is claimed by one.

    Those that AWS need not be asked about come first; of the others, a slow one holds up nobody but itself.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        operations: Operations,
        grace: timedelta,
        interval: timedelta,
        second_look: timedelta = timedelta(seconds=10),
        longest: timedelta = timedelta.max,
        witness: CloudTrailWitness | None = None,
    ) -> None:
        self._ledger = ledger
        self._operations = operations
        self._grace = grace
        self._second_look = second_look
        self._longest = longest
        self._witness = witness
        self._beat = Beat("sweep", self._begin_sweep, interval)
        self._looks: set[asyncio.Task[bool]] = set()

    @classmethod
    def of(cls, deadlines: DeadlineSettings, core: Core, trail_of: TrailOf) -> "Settlement":
        return cls(
            ledger=core.ledger,
            operations=core.operations,
            grace=deadlines.settle_grace,
            interval=deadlines.sweep_interval,
            second_look=deadlines.second_look,
            longest=deadlines.request,
            witness=CloudTrailWitness(trail_of=trail_of, patience=deadlines.cloudtrail),
        )

    async def run(self) -> None:
        """Sweep until stopped; a database or AWS that is away is tried again at the next beat."""
        await self._beat.run()
        await asyncio.gather(*self._looks)

    def stop(self) -> None:
        """End after the rows that are looked at: what is claimed beyond them is free again once the claim has ended."""
        self._beat.stop()

    async def sweep(self) -> int:
        """Settle what is overdue, and wait for it; says how many rows got their outcome."""
        settled = await self._settle_told()
        looks = await self._begin_looks()
        return settled + sum(await asyncio.gather(*looks))

    async def _begin_sweep(self) -> None:
        await self._settle_told()
        await self._begin_looks()
        await self._ledger.forget_expired_keys()

    async def _settle_told(self) -> int:
        """Those that are settled without asking AWS."""
        rows = await self._claim(self._operations.told_actions, MOST_CLAIMED)
        return sum([await self._settle(row) for row in rows if not self._beat.is_stopped])

    async def _begin_looks(self) -> list[asyncio.Task[bool]]:
        """Those that AWS is asked about, as many as there is room for beside those that are at work."""
        if (room := _MOST_LOOKS - len(self._looks)) <= 0:
            return []
        rows = await self._claim(self._operations.looking_actions, room)
        looks = [asyncio.create_task(self._settle(row)) for row in rows]
        for look in looks:
            self._looks.add(look)
            look.add_done_callback(self._looks.discard)
        return looks

    async def _claim(self, actions: Collection[str], most: int) -> Sequence[Row]:
        return await self._ledger.claim(
            actions, overdue_since=self._grace, hold=_HOLD, longest=self._longest, most=most
        )

    async def _settle(self, row: Row) -> bool:
        """Whether the row got its outcome."""
        try:
            settled = await self._find_out(row)
            if settled is None:
                await self._ledger.postpone(row, self._grace, seen=row["seen"])
                return False
            return await self._believe(row, settled)
        except DatabaseError:
            log.warning("not_settled", operation=row["id"], reason="database_unavailable")
        except Exception:
            log.exception("not_settled", operation=row["id"])
        return False

    async def _find_out(self, row: Row) -> Settled | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_LOOK.total_seconds()):
                return await self._operations.settle(open_of(row))
        return None

    async def _believe(self, row: Row, settled: Settled) -> bool:
        """Complete the row, unless what was found must be seen a second time, some time later, as it may be stale."""
        if (
            settled.status != Status.SUCCEEDED
            and not settled.is_certain
            and row["action"] in self._operations.looking_actions
        ):
            seen = _seen(row, settled)
            left = datetime.fromisoformat(seen["at"]) + self._second_look - utcnow()
            if seen != row["seen"] or left > timedelta(0):
                await self._ledger.postpone(row, left, seen=seen)
                return False
        decided = await self._decide(row, settled)
        if decided is None:
            await self._ledger.postpone(row, _NEXT_EVENT, seen=row["seen"])
            return False
        is_settled = await self._ledger.settle(row, decided)
        if is_settled:
            log.info("settled", operation=row["id"], status=decided.status, note=decided.note)
        return is_settled

    async def _decide(self, row: Row, settled: Settled) -> Settled | None:
        """What the state can't tell, CloudTrail may; None: it may yet."""
        call = self._operations.call_of(Action(row["action"]))
        if self._witness is None or call is None or settled.status != Status.UNKNOWN:
            return settled
        return await self._witness.decide(open_of(row), settled, call, row["started_at"])


def _seen(row: Row, settled: Settled) -> dict[str, str]:
    """What was found, and when it was first: anything else in between makes it a first time again."""
    verdict, before = f"{settled.status}: {settled.note}", row["seen"]
    if before and before["verdict"] == verdict:
        return dict(before)
    return {"verdict": verdict, "at": utcnow().isoformat()}
