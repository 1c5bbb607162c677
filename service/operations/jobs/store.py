"""Jobs in SQL: accepted once at a time by what they are about, ended once, with a log of events.

Every write of a worker names the epoch of its claim: one that was paused past its lease finds out there that another
has claimed the job since. A job's row is locked first, before its log, its steps and the kind's own tables.
"""

from collections.abc import Sequence
from datetime import timedelta

import structlog
from sqlalchemy import BindParameter, ColumnElement, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from service.base import paging
from service.base.clock import utcnow
from service.base.db import Database, when_committed
from service.base.permits import Term
from service.base.tables import job_events, job_items, jobs
from service.base.telemetry import JOBS
from service.models.jobs import JobEvent, JobState
from service.operations.calls import Json, Parent, Write
from service.operations.jobs.event_log import EventLog
from service.operations.jobs.values import Ending, Job, LostError, job_of
from service.operations.jobs.waiters import Waiters
from service.operations.ledger import Ledger

log = structlog.get_logger()

_EVENTS = EventLog(job_events, "job_id", JobEvent)

CLOSED = "it was at work when the job ended, and nobody looked what became of it"


class JobStore:
    def __init__(self, *, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger
        self.waiters = Waiters()

    async def insert(self, connection: AsyncConnection, parent: Parent, values: Json, term: Term | None) -> Job | None:
        """A job of the operation `parent`; None where that has one, or there is a live one about the same already.

        :param term: of who claims it by the same.
        """
        who = {"id": parent.id, "actor": parent.actor, "actor_label": parent.actor_label}
        about = {"request_id": parent.request_id, "target": parent.target}
        dialect = sqlite if self._database.is_sqlite else postgresql
        new = dialect.insert(jobs).values(who | about | values)
        # Of whichever index: two that give the same deployment its job at once conflict by its id first.
        new = new.on_conflict_do_nothing()
        inserted = (await connection.execute(new.returning(*jobs.c))).first()
        if inserted is None:
            return None
        await _EVENTS.add(connection, parent.id, "accepted", {})
        return job_of(inserted, term)

    async def get(self, job_id: str) -> Job | None:
        rows = await self._database.fetch(select(jobs).where(jobs.c.id == job_id))
        return job_of(rows[0]) if rows else None

    async def page(self, conditions: Sequence[ColumnElement[bool]], cursor: str | None, limit: int) -> Sequence[Job]:
        """The newest first, one more than fits a page."""
        query = paging.newest_first(select(jobs).where(*conditions), jobs.c.id, cursor, limit)
        return [job_of(row) for row in await self._database.fetch(query)]

    async def live(self, connection: AsyncConnection, *conditions: ColumnElement[bool]) -> Job | None:
        """The one that is not over, as it stays until the caller's transaction ends."""
        query = select(jobs).where(jobs.c.finished_at.is_(None), *conditions).with_for_update()
        row = (await connection.execute(query)).first()
        return job_of(row) if row else None

    async def hold(self, connection: AsyncConnection, job: Job) -> None:
        """:raises LostError: it is over, was given back, or was claimed by another since."""
        if (await connection.execute(_HELD, {"job": job.id, "claimed": job.epoch})).first() is None:
            raise LostError(job.id)

    async def change(self, connection: AsyncConnection, job: Job, values: Json) -> None:
        """:raises LostError: it is over, was given back, or was claimed by another since."""
        changed = update(jobs).where(*_is_mine(job)).values(values).returning(jobs.c.id)
        if (await connection.execute(changed)).first() is None:
            raise LostError(job.id)

    async def note(
        self, job: Job, event: str | None, data: Json, *, progress: Json | None, write: Write | None
    ) -> None:
        """:raises LostError: it is over, was given back, or was claimed by another since."""
        async with self._database.write() as connection:
            if progress is None:
                await self.hold(connection, job)
            else:
                await self.change(connection, job, {"progress": progress})
            if write is not None:
                await write(connection)
            if event is not None:
                await _EVENTS.add(connection, job.id, event, data)
        self.waiters.tell(job.id)

    async def finish(self, job: Job, ending: Ending, write: Write | None) -> None:
        """End a job by who works on it.

        :raises LostError: it is over, was given back, or was claimed by another since.
        """
        async with self._database.write() as connection:
            await self.change(connection, job, _ended(ending))
            await self._close(connection, job.id, ending)
            if write is not None:
                await write(connection)
            _report(connection, job, ending)
        self.waiters.tell_end(job.id)

    async def end(self, connection: AsyncConnection, job: Job, ending: Ending) -> None:
        """End a job that is `live` in the caller's transaction, whoever works on it."""
        await connection.execute(update(jobs).where(jobs.c.id == job.id).values(_ended(ending)))
        await self._close(connection, job.id, ending)
        _report(connection, job, ending)

    async def ask_to_end(self, connection: AsyncConnection, job: Job) -> None:
        """Ask the worker of a job that is `live` in the caller's transaction."""
        asked = {"cancel_requested_at": func.coalesce(jobs.c.cancel_requested_at, utcnow())}
        await connection.execute(update(jobs).where(jobs.c.id == job.id).values(asked))
        await _EVENTS.add(connection, job.id, "cancel_requested", {})

    async def put_off(self, job: Job, pause: timedelta, error: Json) -> None:
        """Give a job back, to be tried again after a pause.

        :raises LostError: it is over, was given back, or was claimed by another since.
        """
        waiting = {"state": JobState.WAITING, "lease_owner": None, "lease_until": None, "error": error}
        async with self._database.write() as connection:
            await self.change(connection, job, waiting | {"run_at": self._database.clock(pause)})
            await _EVENTS.add(connection, job.id, "postponed", error | {"attempt": job.attempts})
        self.waiters.tell(job.id)

    async def events(self, job_id: str, after: int) -> Sequence[JobEvent]:
        return await _EVENTS.after(self._database, job_id, after)

    async def forget(self, keep: timedelta) -> None:
        """Drop the logs and items of what ended long ago; the jobs themselves stay."""
        old = select(jobs.c.id).where(jobs.c.finished_at < utcnow() - keep)
        async with self._database.write() as connection:
            await _EVENTS.forget(connection, old)
            await connection.execute(delete(job_items).where(job_items.c.job_id.in_(old)))

    async def _close(self, connection: AsyncConnection, job_id: str, ending: Ending) -> None:
        await self._ledger.close_children(connection, [job_id], CLOSED)
        await _EVENTS.add(connection, job_id, ending.state, ending.data)


def _ended(ending: Ending) -> Json:
    over = {"state": ending.state, "finished_at": utcnow(), "error": ending.error}
    return over | {"lease_owner": None, "lease_until": None}


def _report(connection: AsyncConnection, job: Job, ending: Ending) -> None:
    def tell() -> None:
        JOBS.labels(job.kind, ending.state).inc()
        log.info("job_ended", job=job.id, kind=job.kind, state=ending.state, code=(ending.error or {}).get("code"))

    when_committed(connection, tell)


def _is_mine(job: Job) -> tuple[ColumnElement[bool], ...]:
    return _is_of(job.id, job.epoch)


def _is_of(job_id: str | BindParameter[str], epoch: int | BindParameter[int]) -> tuple[ColumnElement[bool], ...]:
    """Of who claimed it so. Not so once it was given back, by whatever is left of that run."""
    return (jobs.c.id == job_id, jobs.c.epoch == epoch, jobs.c.state == JobState.RUNNING)


# Asked for at each write of a worker, so made once.
_HELD = select(jobs.c.id).where(*_is_of(bindparam("job"), bindparam("claimed"))).with_for_update()
