"""Who works on which job: claimed for the length of a lease, kept by renewing it, given back at the end.

Each claim raises the job's epoch. By it a worker proves at each write that nobody has claimed the job after it. AWS
and clusters ask for no epoch: what is sent to them is held back by the worker's own term. That is counted from before
the database is asked, so it ends before the lease does, by as long as the database took to answer.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, case, exists, func, literal, or_, select, tuple_, union_all, update
from sqlalchemy.sql.dml import ReturningUpdate

from service.base.clock import utcnow
from service.base.db import Database
from service.base.permits import Term
from service.base.tables import jobs
from service.models.jobs import JobState
from service.operations.calls import Json
from service.operations.jobs.kinds import Kind
from service.operations.jobs.values import Job, job_of


class Claims:
    """Of one replica, by `owner`."""

    def __init__(self, *, database: Database, owner: str, kinds: Mapping[str, Kind]) -> None:
        self._database = database
        self._owner = owner
        self._kinds = kinds

    def born(self, kind: Kind) -> tuple[Json, Term]:
        """The columns of a job that this replica claims as it accepts it, and the term that it has by them."""
        term = Term(utcnow() + _held(kind))
        columns = {
            "state": JobState.RUNNING,
            "attempts": 1,
            "epoch": 1,
            "started_at": utcnow(),
            "lease_owner": self._owner,
            "lease_until": self._database.clock(_held(kind)),
        }
        return columns, term

    async def due(self, kinds: Sequence[str]) -> Sequence[str]:
        """Of these kinds, those that have something to claim."""
        free = (
            select(literal(name).label("kind")).where(exists().where(*self._is_due(self._kinds[name])))
            for name in kinds
        )
        return [row.kind for row in await self._database.fetch(union_all(*free), is_urgent=True)]

    async def claim(self, kind: Kind, most: int) -> Sequence[Job]:
        """Up to `most` jobs that nobody works on, those that are due for the longest time first."""
        async with self._database.write(is_urgent=True) as connection:
            # Made here, as the time in it is: a lease that is given while this waits to begin ends later than any.
            until = utcnow() + _held(kind)
            rows = (await connection.execute(self._claim(kind, most))).all()
        return sorted((job_of(row, Term(until)) for row in rows), key=lambda job: job.id)

    def _claim(self, kind: Kind, most: int) -> ReturningUpdate[Any]:
        is_due = self._is_due(kind)
        # A common table expression, as PostgreSQL may evaluate a subquery again, and skip what it has locked itself.
        free = (
            select(jobs.c.id)
            .where(*is_due)
            .order_by(jobs.c.run_at, jobs.c.id)
            .limit(most)
            .with_for_update(skip_locked=True)
            .cte()
        )
        taken = {
            "state": JobState.RUNNING,
            "attempts": jobs.c.attempts + 1,
            "epoch": jobs.c.epoch + 1,
            "started_at": func.coalesce(jobs.c.started_at, utcnow()),
            "lease_owner": self._owner,
            "lease_until": self._database.clock(_held(kind)),
        }
        return update(jobs).where(jobs.c.id.in_(select(free.c.id)), *is_due).values(taken).returning(*jobs.c)

    async def renew(self, held: Sequence[Job]) -> Mapping[str, bool]:
        """Keep the leases of all that is held here; gives what is still ours, and whether it is asked to end."""
        async with self._database.write(is_urgent=True) as connection:
            asked_at = utcnow()
            lease = case(*((jobs.c.kind == one.name, self._database.clock(_held(one))) for one in self._kinds.values()))
            kept = update(jobs).where(*_are(held)).values(lease_until=lease)
            rows = (await connection.execute(kept.returning(jobs.c.id, jobs.c.cancel_requested_at))).all()
        ours = {row.id: row.cancel_requested_at is not None for row in rows}
        for job in held:
            if job.id in ours:
                job.term.until = asked_at + _held(self._kinds[job.kind])
        return ours

    async def release(self, held: Sequence[Job]) -> None:
        """Let others take these over at once; that they were begun here does not count as an attempt."""
        free = {"state": JobState.WAITING, "lease_owner": None, "lease_until": None, "run_at": self._database.clock()}
        async with self._database.write() as connection:
            given = update(jobs).where(*_are(held)).values(free | {"attempts": jobs.c.attempts - 1})
            await connection.execute(given)

    async def waiting(self) -> Mapping[str, timedelta]:
        """For how long the oldest job of each kind waits that could be run."""
        now, c = self._database.clock(), jobs.c
        is_free = or_(c.lease_until.is_(None), c.lease_until < now)
        since = func.min(func.coalesce(c.lease_until, c.run_at))
        query = select(c.kind, since.label("since")).where(c.finished_at.is_(None), c.run_at <= now, is_free)
        rows = await self._database.fetch(query.group_by(c.kind))
        return {row.kind: max(utcnow() - row.since, timedelta(0)) for row in rows}

    def _is_due(self, kind: Kind) -> tuple[ColumnElement[bool], ...]:
        now, c = self._database.clock(), jobs.c
        is_free = [c.lease_until.is_(None), c.lease_until < now]
        is_time = [c.run_at <= now]
        if self._database.is_sqlite:
            # Further ahead than any of ours: of a process before, whose clock has been set back since.
            is_free.append(c.lease_until > self._database.clock(kind.lease))
            is_time.append(c.run_at <= c.created_at)
            is_time.append(c.started_at.is_not(None) & (c.run_at > self._database.clock(kind.retry.longest)))
        return (c.kind == kind.name, c.finished_at.is_(None), or_(*is_time), or_(*is_free))


def _held(kind: Kind) -> timedelta:
    """What is left of a lease for who takes over: it looks for what is free so often."""
    return kind.lease - 1.5 * beat_of(kind)


def beat_of(kind: Kind) -> timedelta:
    """How often a lease is renewed, and how often a replica looks for work."""
    return min(kind.lease / 5, timedelta(seconds=1))


def _are(held: Sequence[Job]) -> tuple[ColumnElement[bool], ...]:
    claims = tuple_(jobs.c.id, jobs.c.epoch).in_([(job.id, job.epoch) for job in held])
    return (claims, jobs.c.state == JobState.RUNNING)
