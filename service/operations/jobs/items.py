"""The many things that a job does the same with: what is done stays done, whoever goes on."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import case, func, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.base.db import Database
from service.base.errors import WharfingerError
from service.base.tables import job_items
from service.operations.calls import Json
from service.operations.jobs.store import JobStore
from service.operations.jobs.values import Item, Job

ItemAct = Callable[[Item], Awaitable[Json | None]]


class _State(StrEnum):
    TODO = "todo"
    DONE = "done"
    FAILED = "failed"


@dataclass(slots=True)
class Counts:
    """How far a job is with its items: what its progress shows."""

    done: int
    failed: int
    todo: int

    def add(self, *, has_failed: bool) -> None:
        """One item less is to do."""
        self.todo -= 1
        self.failed += has_failed
        self.done += not has_failed

    def to_json(self) -> Json:
        return {"done": self.done, "failed": self.failed, "todo": self.todo}


class Items:
    def __init__(self, *, database: Database, store: JobStore) -> None:
        self._database = database
        self._store = store

    async def add(self, job: Job, keys: Sequence[str]) -> None:
        """Those that are new, in order.

        :raises LostError: the job is over, or was claimed by another since.
        """
        c = job_items.c
        async with self._database.write() as connection:
            await self._store.hold(connection, job)
            known = (await connection.execute(select(c.key, c.number).where(c.job_id == job.id))).all()
            there, last = {row.key for row in known}, max((row.number for row in known), default=0)
            new = [key for key in dict.fromkeys(keys) if key not in there]
            rows = [
                {"job_id": job.id, "number": number, "key": key, "state": _State.TODO}
                for number, key in enumerate(new, start=last + 1)
            ]
            if rows:
                await connection.execute(insert(job_items), rows)

    async def carry(self, connection: AsyncConnection, job: Job, to: Job) -> None:
        """Give another job the items of this one, those that failed to be tried again."""
        c = job_items.c
        state = case((c.state == _State.DONE, _State.DONE.value), else_=_State.TODO.value)
        result = case((c.state == _State.DONE, c.result))
        mine = select(literal(to.id), c.number, c.key, state, result).where(c.job_id == job.id)
        await connection.execute(insert(job_items).from_select(["job_id", "number", "key", "state", "result"], mine))

    async def each(self, job: Job, act: ItemAct, *, at_once: int) -> Counts:
        """Call `act` with each item that is not done, and record what came of it.

        An error that is not retryable is the item's own, and the others go on; any other ends it, once those at work
        are through.
        """
        # Counted once, and kept up to date here: to count anew for each item takes longer the more items there are.
        undone, counts = iter(await self._undone(job)), await self._count(job)
        workers = [asyncio.create_task(self._work_through(job, undone, act, counts)) for _ in range(at_once)]
        try:
            await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            _exhaust(undone)
            await asyncio.wait(workers)
        finally:
            for worker in workers:
                worker.cancel()
        for worker in workers:
            worker.result()
        return counts

    async def _work_through(self, job: Job, undone: Iterator[Item], act: ItemAct, counts: Counts) -> None:
        for item in undone:
            try:
                state, result = _State.DONE, await act(item)
            except WharfingerError as error:
                if error.retryable:
                    raise
                state, result = _State.FAILED, {"code": error.code, "detail": error.whole_detail}
            await self._record(job, item, state, result, counts)

    async def _undone(self, job: Job) -> Sequence[Item]:
        c = job_items.c
        query = select(c.number, c.key).where(c.job_id == job.id, c.state == _State.TODO).order_by(c.number)
        return [Item(row.number, row.key) for row in await self._database.fetch(query)]

    async def _count(self, job: Job) -> Counts:
        c = job_items.c
        query = select(c.state, func.count().label("many")).where(c.job_id == job.id).group_by(c.state)
        many = {row.state: row.many for row in await self._database.fetch(query)}
        return Counts(*(many.get(state, 0) for state in (_State.DONE, _State.FAILED, _State.TODO)))

    async def _record(self, job: Job, item: Item, state: _State, result: Json | None, counts: Counts) -> None:
        c = job_items.c
        async with self._database.write() as connection:
            await self._store.hold(connection, job)
            one = (c.job_id == job.id, c.number == item.number)
            await connection.execute(update(job_items).where(*one).values(state=state, result=result))
            # While the job's row is locked, so that whoever comes next counts on. Where this is not committed, the run
            # ends and the next one counts anew.
            counts.add(has_failed=state == _State.FAILED)
            await self._store.change(connection, job, {"progress": counts.to_json()})
        self._store.waiters.tell(job.id)


def _exhaust(undone: Iterator[Item]) -> None:
    """Leave nothing to begin."""
    for _ in undone:
        pass
