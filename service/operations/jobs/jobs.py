"""Long work as the areas see it: accepted in the commit of the operation that asks for it, looked at, ended."""

import math
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from service.base.beats import Beat
from service.base.clock import utcnow
from service.base.db import Database
from service.base.errors import ConflictError
from service.base.tables import jobs
from service.base.telemetry import JOBS_WAITING
from service.models.jobs import JobState
from service.operations.calls import Json, Parent
from service.operations.jobs.claims import Claims
from service.operations.jobs.items import Items
from service.operations.jobs.kinds import Kind
from service.operations.jobs.runner import Runner
from service.operations.jobs.store import JobStore
from service.operations.jobs.values import Accepted, Ending, Job, JobRunningError
from service.operations.jobs.wakeups import Wakeups
from service.operations.ledger import Ledger

_MOST_RACES = 100
"""Others that accept a job about the same at the same time, and are superseded one after another."""


_HOUR = timedelta(hours=1)
_KEEP = timedelta(days=90)


class Jobs:
    """Every kind of job there is, and whoever works on them here."""

    def __init__(self, *, database: Database, ledger: Ledger, owner: str, keep: timedelta = _KEEP) -> None:
        """:param keep: how long the log and the items of a job are kept once it is over."""
        self._database = database
        self.kinds: dict[str, Kind] = {}
        self._claims = Claims(database=database, owner=owner, kinds=self.kinds)
        self.store = JobStore(database=database, ledger=ledger)
        self._items = Items(database=database, store=self.store)
        self._wakeups = Wakeups(database=database)
        self.runner = Runner(
            store=self.store,
            claims=self._claims,
            items=self._items,
            ledger=ledger,
            kinds=self.kinds,
            wakeups=self._wakeups,
        )
        self.runner.add_duty(Beat("jobs_cleaning", partial(self.store.forget, keep), _HOUR))

    def register(self, kind: Kind) -> None:
        """Have jobs of this kind accepted here, and worked on once the runner is started."""
        self.kinds[kind.name] = kind

    async def accept(
        self,
        connection: AsyncConnection,
        kind: str,
        key: str,
        payload: Json,
        *,
        parent: Parent,
        run_at: datetime | None = None,
        supersede: bool = False,
    ) -> Accepted:
        """Insert a job, in the transaction that completes the operation `parent`; after it commits, `begin` the job.

        :param key: what it is about: at most one job of a kind is about the same at a time.
        :param run_at: not before this; else at once, and here where this replica works.
        :param supersede: end the one that is about the same.
        :raises JobRunningError: there is one.
        """
        declared = self.kinds[kind]
        is_ours = run_at is None and self.runner.is_working
        values: Json = {"kind": kind, "key": key, "payload": payload, "max_attempts": declared.retry.attempts}
        values |= {"state": JobState.WAITING, "attempts": 0, "epoch": 0, "run_at": run_at or self._database.clock()}
        values["created_at"] = utcnow()  # before it is begun, which is at once where this replica works
        born, term = self._claims.born(declared) if is_ours else ({}, None)
        superseded = None
        for _ in range(_MOST_RACES if supersede else 1):
            if job := await self.store.insert(connection, parent, values | born, term):
                if not is_ours:
                    await self._wakeups.announce(connection)
                return Accepted(job, is_ours, superseded)
            if supersede:
                superseded = await self._supersede(connection, kind, key, parent.id) or superseded
        raise JobRunningError(f"A {kind} of {key} is at work already.")

    def begin(self, accepted: Accepted) -> None:
        """Have a job run that was accepted, once it is committed."""
        if accepted.superseded is not None:
            self.ended(accepted.superseded)
        if accepted.is_ours:
            self.runner.begin(accepted.job)
        else:
            self.runner.wake()

    async def repeat(self, connection: AsyncConnection, job: Job, *, parent: Parent) -> None:
        """Accept a job that does what one left undone that ended without success; after the commit, wake the runner.

        What was done with its items stays done. Its steps are done again: they are recorded under another operation.

        :raises ConflictError: it succeeded or goes on (`job_not_failed`), or its kind wants to be asked for anew
            (`job_not_repeatable`).
        :raises JobRunningError: there is one about the same.
        """
        if job.state not in (JobState.FAILED, JobState.CANCELLED):
            raise ConflictError(f"Job {job.id} is {job.state}, and not failed or cancelled.", code="job_not_failed")
        if job.kind not in self.kinds or not self.kinds[job.kind].may_repeat:
            text = f"A {job.kind} is not done again as it was asked for: ask for it anew."
            raise ConflictError(text, code="job_not_repeatable")
        accepted = await self.accept(connection, job.kind, job.key, job.payload, parent=parent, run_at=utcnow())
        await self._items.carry(connection, job, accepted.job)

    async def end(self, connection: AsyncConnection, job_id: str, ending: Ending) -> bool:
        """End a job, whoever works on it; says whether it was not over. After the commit, tell by `ended`."""
        job = await self.store.live(connection, jobs.c.id == job_id)
        if job is None:
            return False
        await self._end(connection, job, ending)
        return True

    async def cancel(self, connection: AsyncConnection, job_id: str) -> JobState | None:
        """End a job that nobody works on, and ask the worker of another to; gives its state, or None where it was over.

        After the commit, tell by `ended`.
        """
        job = await self.store.live(connection, jobs.c.id == job_id)
        if job is None:
            return None
        kind = self.kinds.get(job.kind)  # None: of a newer version, whose replicas know what else is to be written
        if kind and (job.state == JobState.WAITING or kind.ends_when_cancelled):
            await self._end(connection, job, Ending(JobState.CANCELLED, {}))
            return JobState.CANCELLED
        await self.store.ask_to_end(connection, job)
        return job.state

    def ended(self, job_id: str) -> None:
        """Have a job that was ended, or asked to end, looked at by whoever works on it or waits for it here."""
        self.runner.look(job_id)
        self.store.waiters.tell_end(job_id)

    async def observe(self) -> None:
        """Bring the figures of those that wait up to date."""
        waiting = await self._claims.waiting()
        for kind in self.kinds:
            JOBS_WAITING.labels(kind).set(waiting.get(kind, timedelta(0)).total_seconds())

    def observe_nothing(self) -> None:
        """Have those figures say that they are not known: by the last ones, an alert would begin or go on."""
        for kind in self.kinds:
            JOBS_WAITING.labels(kind).set(math.nan)

    async def _supersede(self, connection: AsyncConnection, kind: str, key: str, by: str) -> str | None:
        job = await self.store.live(connection, jobs.c.kind == kind, jobs.c.key == key)
        if job is None:
            return None
        await self._end(connection, job, Ending(JobState.SUPERSEDED, {"by": by}))
        return job.id

    async def _end(self, connection: AsyncConnection, job: Job, ending: Ending) -> None:
        await self.store.end(connection, job, ending)
        on_end = self.kinds[job.kind].on_end
        if on_end is not None:
            await on_end(connection, job, ending)
