"""Jobs as callers ask for them: everybody their own, auditors and admins all of them."""

from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncConnection

from service.access import authz
from service.access.actions import Action
from service.access.authz import Caller, Target
from service.base import paging
from service.base.errors import ConflictError, JobFailedError, LongWork, NotFoundError
from service.base.tables import jobs
from service.models.audit import Status
from service.models.jobs import Job, JobError, JobEvent, JobPage, JobState
from service.operations.calls import Call, Done, Intent, Json, Open, Outcome, Parent, Settled, nothing
from service.operations.jobs import values
from service.operations.jobs.jobs import Jobs
from service.operations.operations import Operations, Settling


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list; None is not looked at."""

    kind: str | None = None
    key: str | None = None
    state: JobState | None = None

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        named = {"kind": self.kind, "key": self.key, "state": self.state}
        yield from (jobs.c[field] == value for field, value in named.items() if value is not None)


class JobRequests:
    def __init__(self, *, jobs: Jobs, operations: Operations) -> None:
        self._jobs = jobs
        self._operations = operations

    @property
    def settling(self) -> Mapping[Action, Settling]:
        return dict.fromkeys((Action.JOB_CANCEL, Action.JOB_RETRY), Settling(_settle))

    async def list(self, caller: Caller, wanted: JobFilter, *, cursor: str | None, limit: int) -> JobPage:
        """Those the caller may read, the newest first."""
        conditions = [*wanted.conditions(), *_visible_to(caller)]
        rows = await self._jobs.store.page(conditions, cursor, limit)
        page, following = paging.cut_by_id(rows, limit)
        return JobPage(items=[_shown(job) for job in page], next_cursor=following)

    async def get(self, caller: Caller, job_id: str) -> Job:
        """:raises NotFoundError: there is none that the caller may know of."""
        return _shown(await self._known(caller, job_id))

    async def wait(self, caller: Caller, job_id: str, seconds: float) -> Job:
        """The job once it has succeeded.

        :raises JobFailedError: it ended otherwise. :raises WaitTimeoutError: it goes on.
        """
        work, get = LongWork("job", job_id), partial(self.get, caller, job_id)
        waiters = self._jobs.store.waiters
        return _succeeded(await waiters.wait_for_end(work, get, lambda job: job.state, seconds, is_repeatable=True))

    def events(self, caller: Caller, job_id: str, after: int) -> AsyncGenerator[JobEvent]:
        """What happened and what happens, until the job is over."""

        async def is_over() -> bool:
            return (await self._known(caller, job_id)).state.is_final

        store = self._jobs.store
        return store.waiters.events(job_id, is_over, partial(store.events, job_id), after)

    async def cancel(self, call: Call, job_id: str) -> Done[None]:
        """End a job that nobody works on; ask the worker of another to end it.

        :raises ConflictError: it is over (`job_over`).
        """
        job = await self._known(call.caller, job_id)

        async def write(connection: AsyncConnection) -> None:
            if await self._jobs.cancel(connection, job_id) is None:
                raise ConflictError(f"Job {job_id} is over.", code="job_over")

        async def act(_: str) -> Outcome[None]:
            return Outcome({"id": job_id}, None, write)

        is_own = job.actor == call.caller.id
        needed = (Action.JOB_CANCEL, None) if is_own else (Action.JOB_CANCEL_ALL, Target())
        intent = Intent(
            Action.JOB_CANCEL, Target(job=job_id), _request(job), nothing, requires=(needed,), targets=(job.target,)
        )
        done = await self._operations.run(call, intent, act)
        self._jobs.ended(job_id)
        return done

    async def retry(self, call: Call, job_id: str) -> Done[str]:
        """Accept a job that does again what one that ended without success was to do; gives the new one's id.

        :raises ConflictError: it succeeded or goes on (`job_not_failed`), its kind is asked for anew instead
            (`job_not_repeatable`), or another about the same is at work (`job_running`).
        """
        job = await self._known(call.caller, job_id)

        async def act(operation_id: str) -> Outcome[str]:
            who = Parent(operation_id, call.caller.id, call.caller.label, call.request_id, job.target)

            async def write(connection: AsyncConnection) -> None:
                await self._jobs.repeat(connection, job, parent=who)

            return Outcome({"id": operation_id}, operation_id, write)

        needed = (Action.JOB_RETRY, Target())
        intent = Intent(
            Action.JOB_RETRY, Target(job=job_id), _request(job), _id_of, requires=(needed,), targets=(job.target,)
        )
        done = await self._operations.run(call, intent, act)
        self._jobs.runner.wake()
        return done

    async def _known(self, caller: Caller, job_id: str) -> values.Job:
        visible = await self._jobs.store.page([jobs.c.id == job_id, *_visible_to(caller)], None, 1)
        if not visible:
            raise NotFoundError("job", job_id)
        return visible[0]


def _visible_to(caller: Caller) -> Iterator[ColumnElement[bool]]:
    authz.require(caller, Action.JOB_READ, None)
    if not authz.is_allowed(caller, Action.JOB_READ_ALL, Target()):
        yield jobs.c.actor == caller.id


def _shown(job: values.Job) -> Job:
    taken = {name: getattr(job, name) for name in Job.model_fields if name not in ("created_by", "error")}
    error = None if job.error is None else JobError.model_validate(job.error)
    return Job(**taken, created_by=job.actor_label, error=error)


def _succeeded(job: Job) -> Job:
    if job.state is JobState.SUCCEEDED:
        return job
    why = f": {job.error.code}: {job.error.detail.rstrip('.')}" if job.error else ""
    raise JobFailedError(
        f"Job {job.id} {job.state}{why}.", work=LongWork("job", job.id), members={"job": job.model_dump(mode="json")}
    )


def _request(job: values.Job) -> Json:
    return {"job": job.id, "kind": job.kind, "key": job.key}


def _id_of(accepted: Json) -> str:
    return str(accepted["id"])


async def _settle(operation: Open) -> Settled:
    # What is written of jobs and the completion of its row are one commit: a row that is open was not followed by it.
    return Settled(Status.FAILED, f"{operation.action} was not done: the job and this row are one commit")
