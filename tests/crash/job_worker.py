"""A replica that works on jobs of a made-up kind: a process of its own, to be killed and stopped at any point.

Run as `python -m tests.crash.job_worker URL OWNER ACTS LEASE OWN`; it works until it is killed, or told to end.
"""

import asyncio
import os
import random
import signal
import sys
import time
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    event,
    exists,
    insert,
    not_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from service.access.actions import Step
from service.base.beats import Beat
from service.base.clock import new_id
from service.base.db import Database
from service.base.errors import ClusterUnavailableError, WharfingerError
from service.base.permits import permit
from service.base.settings import DatabaseSettings, Settings
from service.models.jobs import JobState
from service.operations.calls import Json, Outcome, Parent
from service.operations.jobs.claims import beat_of
from service.operations.jobs.jobs import Jobs
from service.operations.jobs.kinds import Kind
from service.operations.jobs.values import Accepted, Item, Retry
from service.operations.jobs.work import Work
from service.operations.ledger import Ledger
from service.operations.operations import Operations
from tests.service.calls import CALLER, intent, make_call

KIND = "made"
ITEMS = ("a", "b", "c", "d")
AT_ONCE = 2
END = "end"
"""What a job writes in the commit that ends it."""
_ROOM = 2000
"""What is taken over never waits for the end of something else."""
_SLOWEST_ACT = 0.6
_LONG_ACT = (3.0, 5.0)
"""In leases, as the slowest: so long that a worker hears by its renewals alone, and not at a write, what it has lost.
One job in five has such an act, at its first run."""
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


_worked_on: ContextVar[Work | None] = ContextVar("worked_on", default=None)


@dataclass(frozen=True, slots=True)
class Acts:
    """A file to which all workers append what they do outside: a line is written whole, or not at all."""

    file: Path
    worker: str

    def note(self, what: str, work: Work, item: str = "-") -> None:
        self._append(f"{what} {work.job.id} {work.job.epoch} {item}")

    def note_well(self) -> None:
        self._append("well - 0 -")

    def _append(self, what: str) -> None:
        opened = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(opened, f"{time.time()} {self.worker} {what}\n".encode())
        finally:
            os.close(opened)


@dataclass(frozen=True, slots=True)
class Made:
    """Does something outside with each of a few items, and then something with all; each leaves a row of the kind's."""

    acts: Acts
    lease: timedelta

    async def __call__(self, work: Work) -> Json:
        self.acts.note("run", work)
        _worked_on.set(work)
        await work.add_items(ITEMS)
        counts = await work.each_item(partial(self._one, work), at_once=AT_ONCE)
        if work.job.attempts == 1 and work.job.key.endswith("7"):
            self.acts.note("away", work)
            raise ClusterUnavailableError("It is away, the first time.")
        await work.step(_LAST, {}, partial(self._act, work, "all"), within=_PATIENCE)
        await work.finish(JobState.SUCCEEDED, counts.to_json(), write=partial(_write, work, END))
        return counts.to_json()

    async def _one(self, work: Work, item: Item) -> Json:
        self.acts.note("item", work, item.key)
        done = await work.step(EACH, {}, partial(self._act, work, item.key), within=_PATIENCE, item=item.key)
        told = {"epoch": work.job.epoch, "item": item.key}
        await work.note("written", told, write=partial(_write, work, item.key))
        return done

    async def _act(self, work: Work, item: str) -> Json:
        if leave := permit.get():  # as every client does, as a request goes out
            leave.require_time()
        self.acts.note("act", work, item)
        is_long = item == "all" and work.job.epoch == 1 and work.job.key.endswith(("3", "8"))
        leases = random.uniform(*_LONG_ACT) if is_long else random.uniform(0, _SLOWEST_ACT)  # noqa: S311
        await asyncio.sleep(leases * self.lease.total_seconds())  # what the outside takes
        self.acts.note("done", work, item)
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
        self._acts = Acts(acts, owner)
        _note_commits(self.database, self._acts)
        self.jobs = Jobs(database=self.database, ledger=ledger, owner=owner)
        retry = Retry(first=timedelta(milliseconds=50))
        kind = Kind(KIND, Made(self._acts, lease), lease=lease, retry=retry, concurrency=_ROOM)
        self.jobs.register(kind)
        self.jobs.runner.add_duty(Beat("job_worker_well", self._tell_well, beat_of(kind)))

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

    async def _tell_well(self) -> None:
        """Note that a renewal would have come through just now."""
        async with self.database.write(is_urgent=True) as connection:
            await connection.execute(select(1))
        self._acts.note_well()


def _note_commits(database: Database, acts: Acts) -> None:
    """Note what a job is about to commit, and when that began: while it holds the job, no later claim can be there."""

    @event.listens_for(database.engine.sync_engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.info["begun_at"] = time.time()

    @event.listens_for(database.engine.sync_engine, "commit")
    def on_commit(connection: Connection) -> None:
        if (work := _worked_on.get()) and connection.get_execution_options().get("writes"):
            acts.note("commit", work, str(connection.info["begun_at"]))


def _stop_at_a_write(database: Database, is_asked: asyncio.Event) -> None:
    """Stop as the next transaction begins, once asked to: before it looks whether the job is still this worker's."""

    @event.listens_for(database.engine.sync_engine, "begin", insert=True)
    def on_begin(connection: Connection) -> None:
        if is_asked.is_set() and connection.get_execution_options().get("writes"):
            is_asked.clear()
            os.kill(os.getpid(), signal.SIGSTOP)


async def _work(url: str, owner: str, acts: str, lease: str, own: str) -> None:
    """:param own: how many jobs it accepts itself."""
    replica = Replica(url, owner, acts=Path(acts), lease=timedelta(seconds=float(lease)))
    is_told, is_to_stop = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, is_told.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, is_to_stop.set)
    _stop_at_a_write(replica.database, is_to_stop)
    replica.jobs.runner.start()
    Path(acts).with_name(owner).touch()
    accepts = (replica.accept(f"{owner}-{number}-{new_id()}") for number in range(int(own)))
    for answer in await asyncio.gather(*accepts, return_exceptions=True):
        if isinstance(answer, BaseException) and not isinstance(answer, WharfingerError):
            raise answer
    await is_told.wait()
    await replica.jobs.runner.close()


if __name__ == "__main__":
    asyncio.run(_work(*sys.argv[1:]))
