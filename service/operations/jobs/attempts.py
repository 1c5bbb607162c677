"""One claim of a job, from the kind's run to what becomes of the job by it: its end, a pause, or nothing."""

import asyncio
import random
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from service.base.errors import DatabaseError, InternalError, WharfingerError
from service.base.tasks import longer_pauses
from service.models.jobs import JobState
from service.operations.calls import Json
from service.operations.jobs.kinds import Kind
from service.operations.jobs.store import JobStore
from service.operations.jobs.values import CancelledJobError, Ending, LapsedError, LostError, Retry
from service.operations.jobs.work import Work

_EXHAUSTED = {"code": "job_given_up", "detail": "Whoever began it went away in the midst of it, each time."}
_OVERDUE = {"code": "job_overdue", "detail": "It took longer than such a job may."}

log = structlog.get_logger()


class Attempt:
    def __init__(self, kind: Kind, work: Work, *, store: JobStore) -> None:
        self._kind = kind
        self._work = work
        self._store = store

    async def run(self) -> timedelta | None:
        """Bring the job to its end; or give it back, for the pause that is returned. A job that is lost stays as it is.

        While the database is away, it is begun again here: nobody else can claim it then. So it is where the lease has
        ended: whether anybody has claimed it is seen once it is renewed, or written to.
        """
        pauses = longer_pauses()
        while True:
            try:
                return await self._once()
            except LapsedError:
                log.warning("job_waits", job=self._work.job.id, reason="lease_ended")
            except LostError:
                log.info("job_lost", job=self._work.job.id, kind=self._kind.name, epoch=self._work.job.epoch)
                return None
            except DatabaseError:
                log.warning("job_waits", job=self._work.job.id, reason="database_unavailable")
            except asyncio.CancelledError:
                if not self._is_to_end():
                    raise
                continue  # begun again, it sees that: what was cut off was the write of another end, or of a pause
            await self._wait(next(pauses))

    async def _wait(self, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            if not self._is_to_end():
                raise

    def _is_to_end(self) -> bool:
        """Whether it was stopped only as the job is to end: stopped a second time, this replica is ending."""
        task = asyncio.current_task()
        return self._work.is_cancelled.is_set() and task is not None and task.cancelling() == 1

    async def _once(self) -> timedelta | None:
        job = self._work.job
        if job.is_exhausted:
            await self._end(JobState.FAILED, error=_EXHAUSTED)
            return None
        try:
            await self._run_kind()
        except DatabaseError:
            raise
        except CancelledJobError:
            if self._work.is_overdue:
                await self._end(JobState.FAILED, error=_OVERDUE)
            else:
                await self._end(JobState.CANCELLED)
        except WharfingerError as error:
            return await self._trip(error)
        return None

    async def _run_kind(self) -> None:
        job = self._work.job
        # Asked before the claim, or since, where that could not be written at once.
        if job.cancel_requested_at is not None or self._work.is_cancelled.is_set() or self._work.is_overdue:
            raise CancelledJobError(job.id)
        try:
            await self._succeed()
        except asyncio.CancelledError as cancelled:
            if self._work.is_cancelled.is_set():
                raise CancelledJobError(job.id) from None
            if _is_stopped():
                raise
            raise self._defect(cancelled) from cancelled  # of something that the kind waited for
        except (WharfingerError, LostError, CancelledJobError):
            raise
        except Exception as defect:
            raise self._defect(defect) from defect

    async def _succeed(self) -> None:
        result = await self._kind.run(self._work)
        if not self._work.is_finished:
            await self._work.finish(JobState.SUCCEEDED, result)

    def _defect(self, defect: BaseException) -> InternalError:
        log.error("job_defect", job=self._work.job.id, kind=self._kind.name, exc_info=defect)
        told, may_pass = "A defect of wharfinger; its log has more.", not self._kind.fails_on_defect
        return InternalError(told, retryable=may_pass)

    async def _trip(self, error: WharfingerError) -> timedelta | None:
        """Fail, where trying again is no use or has been of none; else wait and try again."""
        told, job = {"code": error.code, "detail": error.whole_detail}, self._work.job
        is_last = job.max_attempts is not None and job.attempts >= job.max_attempts
        if not error.retryable or is_last or self._work.is_overdue:
            await self._end(JobState.FAILED, error=told)
            return None
        pause = _pause(self._kind.retry, job.attempts)
        await self._store.put_off(job, pause, told)
        return pause

    async def _end(self, state: JobState, error: Json | None = None) -> None:
        ending, on_end = Ending(state, error or {}, error), self._kind.on_end

        async def write(connection: AsyncConnection) -> None:
            if on_end is not None:
                await on_end(connection, self._work.job, ending)

        await self._work.finish(state, ending.data, error=error, write=write)


def _is_stopped() -> bool:
    """Whether this replica ends, or has lost the job."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _pause(retry: Retry, attempts: int) -> timedelta:
    doubled = retry.first.total_seconds() * 2.0 ** min(attempts - 1, 32)
    return min(timedelta(seconds=doubled), retry.longest) * random.uniform(0.5, 1)  # noqa: S311 - spreads, hides nothing
