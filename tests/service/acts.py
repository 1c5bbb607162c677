"""What an operation may do to AWS, and a database that goes away at a chosen moment."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sqlalchemy import event
from sqlalchemy.pool import ConnectionPoolEntry

from service.base.db import Database
from service.base.permits import permit
from service.operations.calls import Json, Open, Outcome, Settled

RESULT: Json = {"uri": "team/app"}


@dataclass(slots=True)
class Act:
    """Notes that it was called; then answers, or fails as told."""

    fails_with: Exception | None = None
    is_sent: bool = False
    is_doubtful: bool = False
    before: Callable[[], Awaitable[object]] | None = None
    calls: list[str] = field(default_factory=list)

    async def __call__(self, operation_id: str) -> Outcome[Json]:
        self.calls.append(operation_id)
        given = permit.get()
        assert given
        assert given.operation_id == operation_id
        given.is_sent, given.is_doubtful = self.is_sent, self.is_doubtful
        if self.before:
            await self.before()
        if self.fails_with:
            raise self.fails_with
        return Outcome(RESULT, RESULT)


@dataclass(slots=True)
class HeldAct:
    """Stays at work until it is let go."""

    is_at_work: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    calls: int = 0

    async def __call__(self, _: str) -> Outcome[Json]:
        self.calls += 1
        self.is_at_work.set()
        await self.may_end.wait()
        return Outcome(RESULT, RESULT)


@dataclass(slots=True)
class Look:
    """Settles as told: what a check of AWS would find, or an error where AWS can't be asked."""

    finds: Settled | Exception | None
    looked_at: list[Open] = field(default_factory=list)

    async def __call__(self, operation: Open) -> Settled | None:
        self.looked_at.append(operation)
        if isinstance(self.finds, Exception):
            raise self.finds
        return self.finds


@dataclass(slots=True)
class Outage:
    """The database is away: open connections are dropped, new ones refused, the first `attempts` of them."""

    database: Database
    attempts: int = 1_000_000
    refused: int = 0

    async def begin(self) -> None:
        for engine in self.database.engines:
            event.listen(engine.sync_engine, "do_connect", self._refuse)
            event.listen(engine.pool, "checkin", _drop)
            await engine.dispose()

    def end(self) -> None:
        self.attempts = 0

    def _refuse(self, *_: object) -> None:
        if self.refused < self.attempts:
            self.refused += 1
            raise ConnectionRefusedError


def _drop(_: object, record: ConnectionPoolEntry) -> None:
    """One that was in use as the outage began: nobody else would close it, and any test after this would be told."""
    record.close()
