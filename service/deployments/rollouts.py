"""The kind of job that brings a deployment to its end, and what is done now and then for those that are over."""

import asyncio
from datetime import timedelta
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from service.base.beats import Beat
from service.base.clock import utcnow
from service.base.db import Database, when_committed
from service.base.errors import DatabaseError, UnavailableError, WharfingerError
from service.base.settings import RolloutSettings
from service.base.tasks import longer_pauses
from service.base.telemetry import ROLLOUTS
from service.clusters.clusters import Clusters
from service.deployments.acceptance import KIND, Acceptance
from service.deployments.endings import Endings
from service.deployments.fencing import Fence
from service.deployments.handover import OURS, Handover
from service.deployments.objects import Objects
from service.deployments.record import DeploymentRecord
from service.deployments.rollout import Rollout
from service.deployments.steps import Steps
from service.deployments.store import DeploymentStore
from service.models.deployments import DeploymentStatus, Reason
from service.models.jobs import JobState
from service.operations.core import Core
from service.operations.jobs.jobs import Jobs
from service.operations.jobs.kinds import Kind
from service.operations.jobs.values import CancelledJobError, Ending, Job, JobRunningError, LostError
from service.operations.jobs.work import Work
from service.operations.ledger import Ledger

_CLEANING, _KEEPING_UP = timedelta(hours=1), timedelta(seconds=15)
_AT_ONCE = 1000
"""In one replica: a rollout does little but wait, and one that nobody follows fails nobody."""
_LAST_BEAT_SECONDS = 5.0

log = structlog.get_logger()


class Rollouts:
    def __init__(
        self,
        *,
        database: Database,
        ledger: Ledger,
        clusters: Clusters,
        store: DeploymentStore,
        jobs: Jobs,
        lease: timedelta,
        keep: timedelta,
    ) -> None:
        self._database = database
        self._store = store
        self._clusters = clusters
        self._jobs = jobs
        self._keep = keep
        self._handover = Handover(database=database, lease=lease)
        self._fence = Fence(store=store)
        self._steps = Steps(objects=Objects(fence=self._fence), clusters=clusters)
        self.acceptance = Acceptance(jobs=jobs, store=store, handover=self._handover)
        self._endings = Endings(ledger=ledger, store=store, acceptance=self.acceptance)
        jobs.register(self._kind(lease))
        self._beats = (
            Beat("rollouts_adopted", self.adopt, lease / 5),
            Beat("rollouts_kept_up", self.keep_up, _KEEPING_UP),
            Beat("rollouts_cleaned", self._clean, _CLEANING),
        )

    @classmethod
    def of(cls, settings: RolloutSettings, core: Core, *, clusters: Clusters, jobs: Jobs) -> "Rollouts":
        return cls(
            database=core.database,
            ledger=core.ledger,
            clusters=clusters,
            store=DeploymentStore(database=core.database),
            jobs=jobs,
            lease=settings.lease,
            keep=settings.keep,
        )

    def _kind(self, lease: timedelta) -> Kind:
        return Kind(
            KIND,
            self.run,
            lease=lease,
            longest=timedelta.max,  # by its own deadlines: those count from its progress, and look at the cluster first
            concurrency=_AT_ONCE,
            may_repeat=False,
            ends_when_cancelled=True,
            on_end=self._write_ending,
        )

    def start(self) -> None:
        for beat in self._beats:
            beat.start()

    async def close(self) -> None:
        await asyncio.gather(*(beat.close(_LAST_BEAT_SECONDS) for beat in self._beats))

    async def cancel(self, connection: AsyncConnection, deployment_id: str) -> bool:
        """End one that is not over, whoever runs it; says whether it was. After the commit, tell by `cancelled`."""
        ending = Ending(JobState.CANCELLED, {})
        # One that a replica of the version before runs has no job.
        return await self._jobs.end(connection, deployment_id, ending) or await self._write(
            connection, deployment_id, ending
        )

    def cancelled(self, deployment_id: str) -> None:
        """Stop following it here."""
        self._jobs.ended(deployment_id)

    async def adopt(self) -> None:
        """Give those a job that a replica of the version before left unfinished."""
        for deployment_id in await self._handover.left() if self._jobs.runner.is_working else ():
            record = await self._store.get(deployment_id)
            if record is None:
                continue
            try:
                async with self._database.write() as connection:
                    accepted = await self._jobs.accept(connection, KIND, str(record.place), {}, parent=record.parent)
                    await self._handover.take(connection, deployment_id)
            except (JobRunningError, UnavailableError):
                continue  # its job takes it, or another replica has just done so
            log.info("rollout_adopted", deployment=deployment_id)
            self._jobs.begin(accepted)

    async def keep_up(self) -> None:
        await self._handover.keep_up()
        held = {job.id: job for job in self._jobs.runner.held if job.kind == KIND}
        for ended in await self._handover.ended(held) if held else ():
            self._jobs.runner.begin(held[ended])  # its run finds that it is over, and ends the job

    async def run(self, work: Work) -> None:
        """Bring a deployment to its end, whatever becomes of the cluster meanwhile."""
        pauses = longer_pauses()
        while (record := await self._unfinished(work)) is not None:
            rollout = self._rollout(work, record)
            try:
                await rollout.run()
            except (LostError, CancelledJobError, DatabaseError):
                raise
            except WharfingerError as error:
                if not error.retryable:
                    await rollout.fail(Reason(code=error.code, message=error.whole_detail))
                elif not await rollout.wait_for_cluster(error):
                    await asyncio.sleep(next(pauses))
            except Exception:
                log.exception("rollout_defect", deployment=record.id)
                await rollout.fail(Reason(code="internal_error", message="A defect of wharfinger; its log has more."))
            if work.is_finished:
                return

    async def _unfinished(self, work: Work) -> DeploymentRecord | None:
        """The deployment as it is now. Where a replica of the version before has ended it, so does the job.

        :raises UnavailableError: such a replica is at work on it.
        """
        record = await self._store.get(work.job.id)
        if record is None or record.finished_at is not None:
            await work.finish(JobState(record.status) if record else JobState.FAILED)
            return None
        if record.lease_owner != OURS:
            await work.note(None, {}, write=partial(self._handover.take, deployment_id=record.id))
        return record

    def _rollout(self, work: Work, record: DeploymentRecord) -> Rollout:
        return Rollout(
            work,
            record,
            store=self._store,
            clusters=self._clusters,
            steps=self._steps,
            fence=self._fence,
            endings=self._endings,
        )

    async def _write_ending(self, connection: AsyncConnection, job: Job, ending: Ending) -> None:
        # Who supersedes one writes so of all that its target has, and in the order of their generations.
        if ending.state is not JobState.SUPERSEDED:
            await self._write(connection, job.id, ending)

    async def _write(self, connection: AsyncConnection, deployment_id: str, ending: Ending) -> bool:
        status, error = DeploymentStatus(ending.state), ending.error
        reason = {"code": error["code"], "message": error["detail"]} if error else None
        over = {"status": status, "finished_at": utcnow(), "reason": reason}
        data = {"reason": reason} if reason else {}
        is_ended = await self._store.change(connection, deployment_id, status, data, **over)
        if is_ended:
            when_committed(connection, ROLLOUTS.labels(status).inc)
        return is_ended

    async def _clean(self) -> None:
        await self._store.forget_events(self._keep)
        await self._store.forget_values(self._keep)
