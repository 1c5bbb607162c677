"""A replica that works on jobs of a made-up kind: a process of its own, to be killed and stopped at any point.

Run as `python -m tests.crash.job_worker URL OWNER ACTS LEASE OWN`; it works until it is ended.
"""

import asyncio
import os
import random
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import Boolean, Column, Integer, MetaData, String, Table, exists, insert, not_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.access.actions import Step
from service.base.clock import new_id
from service.base.db import Database
from service.base.errors import ClusterUnavailableError, WharfingerError
from service.base.settings import DatabaseSettings, Settings
from service.operations.calls import Json, Outcome, Parent
from service.operations.jobs.jobs import Jobs
from service.operations.jobs.kinds import Kind
from service.operations.jobs.values import Accepted, Item, Retry
from service.operations.jobs.work import Work
from service.operations.ledger import Ledger
from service.operations.operations import Operations
from tests.service.calls import CALLER, intent, make_call

KIND = "made"
ITEMS = ("a", "b", "c")
AT_ONCE = 2
_ROOM = 2000
"""What is taken over never waits for the end of something else."""
_SLOWEST_ACT = 0.5
_PATIENCE = timedelta(minutes=1)
_LAST = Step.APPLY_DEPLOYMENT
EACH = Step.APPLY_SERVICE

writes = Table(
    "writes",
    MetaData(),
    Column("number", Integer, primary_key=True),
    Column("job_id", String(36)),
    Column("item", String(8)),
    Column("epoch", Integer),
    Column("is_first", Boolean),
)
"""What workers wrote to a table of the kind's own, in that order; the first row of an item is its effect."""


@dataclass(frozen=True, slots=True)
class Acts:
    """A file to which all workers append what they do outside: a line is written whole, or not at all."""

    file: Path
    worker: str

    def note(self, what: str, work: Work, item: str = "-") -> None:
        line = f"{time.time()} {self.worker} {what} {work.job.id} {work.job.epoch} {item}\n"
        opened = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(opened, line.encode())
        finally:
            os.close(opened)


@dataclass(frozen=True, slots=True)
class Made:
    """Does something outside with each of a few items, and then something with all; each leaves a row of the kind's."""

    acts: Acts

    async def __call__(self, work: Work) -> Json:
        self.acts.note("run", work)
        await work.add_items(ITEMS)
        counts = await work.each_item(partial(self._one, work), at_once=AT_ONCE)
        if work.job.attempts == 1 and work.job.key.endswith("7"):
            raise ClusterUnavailableError("It is away, the first time.")
        await work.step(_LAST, {}, partial(self._act, work, "all"), within=_PATIENCE)
        return counts.to_json()

    async def _one(self, work: Work, item: Item) -> Json:
        done = await work.step(EACH, {}, partial(self._act, work, item.key), within=_PATIENCE, item=item.key)
        await work.note("written", {"epoch": work.job.epoch}, write=partial(_write, work, item.key))
        return done

    async def _act(self, work: Work, item: str) -> Json:
        self.acts.note("act", work, item)
        await asyncio.sleep(random.uniform(0, _SLOWEST_ACT))  # noqa: S311 - what the outside takes
        return {"epoch": work.job.epoch}


async def _write(work: Work, item: str, connection: AsyncConnection) -> None:
    job = work.job
    is_there = exists().where(writes.c.job_id == job.id, writes.c.item == item)
    is_first = (await connection.execute(select(not_(is_there)))).scalar_one()
    row = {"job_id": job.id, "item": item, "epoch": job.epoch, "is_first": is_first}
    await connection.execute(insert(writes).values(row))


class Replica:
    """What a process of the service has of jobs. It accepts them; once the runner is started, it works on them."""

    def __init__(self, url: str, owner: str, *, acts: Path, lease: timedelta) -> None:
        settings = Settings(database=DatabaseSettings(url=SecretStr(url), pool_size=5))
        self.database = Database(settings)
        ledger = Ledger(database=self.database, remember=timedelta(hours=1))
        self._operate = Operations(ledger=ledger)
        self.jobs = Jobs(database=self.database, ledger=ledger, owner=owner)
        retry = Retry(first=timedelta(milliseconds=50))
        self.jobs.register(Kind(KIND, Made(Acts(acts, owner)), lease=lease, retry=retry, concurrency=_ROOM))

    async def accept(self, key: str) -> None:
        """As the areas do: in the commit that completes the operation that asks for it."""
        accepted: list[Accepted] = []

        async def act(operation_id: str) -> Outcome[Json]:
            parent = Parent(operation_id, CALLER.id, CALLER.label, "request-1", f"local/{key}")

            async def write(connection: AsyncConnection) -> None:
                accepted[:] = [await self.jobs.accept(connection, KIND, key, {}, parent=parent)]

            return Outcome({}, {}, write)

        await self._operate.run(make_call(), intent(), act)
        self.jobs.begin(accepted[0])


async def _work(url: str, owner: str, acts: str, lease: str, own: str) -> None:
    """:param own: how many jobs it accepts itself."""
    replica = Replica(url, owner, acts=Path(acts), lease=timedelta(seconds=float(lease)))
    replica.jobs.runner.start()
    Path(acts).with_name(owner).touch()
    accepts = (replica.accept(f"{owner}-{number}-{new_id()}") for number in range(int(own)))
    for answer in await asyncio.gather(*accepts, return_exceptions=True):
        if isinstance(answer, BaseException) and not isinstance(answer, WharfingerError):
            raise answer
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_work(*sys.argv[1:]))
