"""The replicas' shared work: each runs the rollouts it holds a lease on, and takes over those of one that died.

The deployments table is all the state there is. A rollout that is begun again, here or elsewhere, finds what it did
before in the trail, so a step that was completed is not repeated.
"""

import asyncio
from contextlib import suppress
from datetime import timedelta

import structlog

from service.base.db import Database
from service.base.errors import DatabaseError, WharfingerError
from service.clusters.clusters import Clusters
from service.deployments.endings import Endings
from service.deployments.fencing import Fence
from service.deployments.objects import Objects
from service.deployments.record import DeploymentRecord
from service.deployments.recording import Recorder
from service.deployments.rollout import Rollout
from service.deployments.steps import Steps
from service.deployments.store import DeploymentStore, LostError
from service.models.deployments import Reason
from service.operations.ledger import Ledger

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 3.0
_CLEANING = timedelta(hours=1)

log = structlog.get_logger()


class Rollouts:
    """Runs rollouts in this process, and keeps their leases."""

    def __init__(
        self,
        *,
        database: Database,
        ledger: Ledger,
        clusters: Clusters,
        store: DeploymentStore,
        lease: timedelta,
        keep: timedelta,
    ) -> None:
        self._store = store
        self._clusters = clusters
        self._fence = Fence(store=store)
        recorder = Recorder(ledger=ledger, store=store)
        self._steps = Steps(recorder=recorder, objects=Objects(fence=self._fence), clusters=clusters)
        self._endings = Endings(database=database, ledger=ledger, store=store)
        self._beat = lease.total_seconds() / 5
        self._keep = keep
        self._running: dict[str, asyncio.Task[None]] = {}
        self._beating: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._beating = asyncio.create_task(self._beat_on())

    async def close(self) -> None:
        """Stop, and leave what is not finished to others at once."""
        mine = list(self._running)
        tasks = [*self._running.values(), *([self._beating] if self._beating else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(DatabaseError):
            await self._store.release(mine)

    def begin(self, deployment_id: str) -> None:
        """Run a deployment that this process holds the lease of."""
        if deployment_id not in self._running:
            task = asyncio.create_task(self._run(deployment_id))
            self._running[deployment_id] = task
            task.add_done_callback(lambda _: self._running.pop(deployment_id, None))

    def stop(self, deployment_id: str) -> None:
        """Stop running one that is over: superseded or cancelled."""
        if task := self._running.get(deployment_id):
            task.cancel()
        self._store.tell(deployment_id)

    async def _beat_on(self) -> None:
        cleaned = -_CLEANING.total_seconds()
        clock = asyncio.get_running_loop().time
        while True:
            try:
                await self._renew()
                for deployment_id in await self._store.claim():
                    log.info("rollout_taken_over", deployment=deployment_id)
                    self.begin(deployment_id)
                if clock() - cleaned > _CLEANING.total_seconds():
                    await self._store.forget_events(self._keep)
                    await self._store.forget_values(self._keep)
                    cleaned = clock()
            except DatabaseError:
                log.warning("rollouts_wait", reason="database_unavailable")
            except Exception:
                log.exception("rollouts_beat_failed")
            await asyncio.sleep(self._beat)

    async def _renew(self) -> None:
        held = list(self._running)
        if held:
            kept = set(await self._store.renew(held))
            for deployment_id in held:
                if deployment_id not in kept:
                    self.stop(deployment_id)

    async def _run(self, deployment_id: str) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._once(deployment_id)
            except LostError:
                return
            except DatabaseError:
                log.warning("rollout_waits", deployment=deployment_id, reason="database_unavailable")
            else:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _once(self, deployment_id: str) -> None:
        """Bring a deployment to its end, whatever becomes of the cluster meanwhile."""
        pause = _FIRST_PAUSE
        while (record := await self._store.get(deployment_id)) is not None and record.finished_at is None:
            rollout = self._rollout(record)
            try:
                await rollout.run()
            except (LostError, DatabaseError):
                raise
            except WharfingerError as error:
                if not error.retryable:
                    await rollout.fail(_reason(error))
                elif not await rollout.wait_for_cluster(error):
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE)
            except Exception:
                log.exception("rollout_defect", deployment=deployment_id)
                await rollout.fail(Reason(code="internal_error", message="A defect of wharfinger; its log has more."))
            else:
                return

    def _rollout(self, record: DeploymentRecord) -> Rollout:
        return Rollout(
            record,
            store=self._store,
            clusters=self._clusters,
            steps=self._steps,
            fence=self._fence,
            endings=self._endings,
            begin=self.begin,
        )


def _reason(error: WharfingerError) -> Reason:
    where = "; ".join(f"{one.path}: {one.reason}" for one in error.errors)
    return Reason(code=error.code, message=f"{error.detail} {where}".strip())
