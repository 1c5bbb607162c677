"""One rollout: the steps, then following it until it is over."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from service.access.actions import Step
from service.base.clock import utcnow
from service.base.errors import ConflictError, WharfingerError
from service.clusters.clusters import Clusters
from service.deployments.endings import Endings
from service.deployments.fencing import Fence
from service.deployments.record import DeploymentRecord
from service.deployments.rollout_verdict import (
    hopeless,
    is_complete,
    is_out_of_time,
    progress_of,
    why_stalled,
)
from service.deployments.rollout_view import RolloutView
from service.deployments.steps import Steps
from service.deployments.store import DeploymentStore
from service.deployments.workloads import Object, deployment_of, image_of, match_labels
from service.models.deployments import DeploymentKind, DeploymentStatus, Reason
from service.operations.calls import Json, Write
from service.operations.jobs.work import Work

_GRACE = timedelta(seconds=5)
"""Past the progress deadline, for the cluster's own controller to say so in its own words first."""

_FIRST_LOOK = 1.0
"""Seconds for the cluster to answer, also to one who begins past the deadline: else its silence would be the reason."""


class Rollout:
    def __init__(
        self,
        work: Work,
        record: DeploymentRecord,
        *,
        store: DeploymentStore,
        clusters: Clusters,
        steps: Steps,
        fence: Fence,
        endings: Endings,
    ) -> None:
        self._work = work
        self._record = record
        self._store = store
        self._clusters = clusters
        self._steps = steps
        self._fence = fence
        self._endings = endings
        self._progress = record.progress
        self._progressed_at: datetime = record.progressed_at or record.started_at or utcnow()
        self._away_since: datetime | None = record.cluster_away_since

    async def run(self) -> None:
        """Do what is left of it.

        :raises WharfingerError: why it can't; where that is retryable, run it again.
        :raises LostError: it is not ours any more.
        """
        if self._record.status is DeploymentStatus.ACCEPTED:
            now = utcnow()
            started = {"status": DeploymentStatus.PROGRESSING, "started_at": now, "progressed_at": now}
            await self._note("progressing", {}, **started)
        if self._record.kind is DeploymentKind.DELETE:
            await self._remove()
        else:
            await self._roll_out()

    async def _remove(self) -> None:
        await self._steps.delete(self._work, self._record, Step.DELETE_SERVICE, "Service")
        await self._steps.delete(self._work, self._record, Step.DELETE_DEPLOYMENT, "Deployment")
        await self._endings.end(self._work, self._record, DeploymentStatus.SUCCEEDED)

    async def _roll_out(self) -> None:
        applied = await self._steps.apply_deployment(self._work, self._record)
        labels = match_labels(self._record.name, applied)
        if self._record.spec.port is None:
            await self._steps.delete(self._work, self._record, Step.DELETE_SERVICE, "Service")
        else:
            await self._steps.apply_service(self._work, self._record, labels)
        kube = await self._clusters.connect(self._record.place.cluster)
        await self._follow(RolloutView(kube, self._record, labels))

    async def fail(self, reason: Reason) -> None:
        await self._endings.end(self._work, self._record, DeploymentStatus.FAILED, reason=reason)

    async def wait_for_cluster(self, away: WharfingerError) -> bool:
        """Note since when the cluster, or AWS before it, is away; says whether that was too long, so that it failed.

        Too long is a progress deadline of its own: what was found late by who took the rollout over may yet be mended.
        """
        if self._away_since is None:
            why = {"code": away.code, "detail": away.detail}
            await self._note("cluster_away", why, cluster_away_since=utcnow())
        elif utcnow() > self._away_since + self._patience:
            await self.fail(Reason(code=away.code, message=away.detail))
            return True
        return False

    @property
    def _patience(self) -> timedelta:
        return self._record.spec.progress_deadline + _GRACE

    def _deadline(self) -> datetime:
        return self._progressed_at + self._patience

    async def _follow(self, view: RolloutView) -> None:
        async with view.watching():
            while not await self._judge(view):
                left = (self._deadline() - utcnow()).total_seconds()
                try:
                    await view.change(max(_FIRST_LOOK, left))
                except TimeoutError:
                    await self.fail(await self._why_late(view))
                    return

    async def _judge(self, view: RolloutView) -> bool:
        """Whether it is over, with what came of it recorded."""
        seen = view.deployment
        if seen is None:
            return False
        await self._fence.refuse_newer(self._record, seen)
        if deployment_of(seen) != self._record.id:
            return False
        self._require_unchanged(seen)
        await self._note_progress(seen)
        if is_complete(seen):
            if view.awaits_address:
                return False
            urls = await view.urls()
            await self._endings.end(self._work, self._record, DeploymentStatus.SUCCEEDED, urls=urls)
            return True
        if (reason := await self._why_hopeless(view, seen)) is None:
            return False
        await self.fail(reason)
        return True

    async def _why_hopeless(self, view: RolloutView, seen: Object) -> Reason | None:
        if is_out_of_time(seen):
            return why_stalled(seen, await view.newest_pods())
        # Those of an older template, on its way out, do not count.
        return hopeless(await view.newest_pods()) if hopeless(view.pods) else None

    async def _why_late(self, view: RolloutView) -> Reason:
        seen = view.deployment or {"metadata": {}, "spec": {}}
        if view.deployment and is_complete(seen) and view.awaits_address:
            message = f"The pods are ready; the load balancer of Service {self._record.name} has no address yet."
            return Reason(code="load_balancer_pending", message=message)
        return why_stalled(seen, await view.newest_pods())

    def _require_unchanged(self, seen: Object) -> None:
        """It has to run what was checked: somebody may have edited the object since. Scaling it is another matter.

        :raises ConflictError: it is not (`object_changed`).
        """
        name = self._record.name
        if (image := image_of(seen, name)) != self._record.image_uri:
            raise ConflictError(f"Somebody changed Deployment {name}: its image is {image}.", code="object_changed")

    async def _note_progress(self, seen: Object) -> None:
        now = progress_of(seen)
        if now != self._progress or self._away_since is not None:
            self._progress, self._progressed_at, self._away_since = now, utcnow(), None
            counts = now.model_dump()
            # The counts are of the deployment's row, for its readers, and of the job's.
            times = {"progressed_at": self._progressed_at, "cluster_away_since": None}
            await self._work.note(
                None, {}, progress=counts, write=self._writing("progress", counts, progress=counts, **times)
            )

    async def _note(self, event: str, data: Json, **values: object) -> None:
        await self._work.note(None, {}, write=self._writing(event, data, **values))

    def _writing(self, event: str, data: Json, **values: object) -> Write:
        async def write(connection: AsyncConnection) -> None:
            await self._store.write(connection, self._record.id, event, data, **values)

        return write
