"""One rollout: the steps, then following it until it is over."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from service.access.actions import Action, Step
from service.base.clock import utcnow
from service.base.errors import ConflictError, WharfingerError
from service.base.telemetry import ROLLOUTS
from service.deployments.rollout_verdict import (
    hopeless,
    is_complete,
    is_out_of_time,
    progress_of,
    why_stalled,
)
from service.deployments.rollout_view import RolloutView
from service.deployments.steps import Steps, parent_of, spec_of
from service.deployments.store import place_of
from service.deployments.workloads import Object, deployment_of, image_of, match_labels
from service.models.deployments import DeploymentKind, DeploymentStatus, Progress, Reason
from service.models.workloads import OnFailure
from service.operations.calls import Json

_GRACE = timedelta(seconds=5)
"""Past the progress deadline, for the cluster's own controller to say so in its own words first."""

_FIRST_LOOK = 1.0
"""Seconds for the cluster to answer, also to one who begins past the deadline: else its silence would be the reason."""


class Rollout:
    def __init__(self, row: Row[Any], steps: Steps) -> None:
        self._row = row
        self._steps = steps
        self._store = steps.store
        self._progress = Progress.model_validate(row.progress) if row.progress else None
        self._progressed_at: datetime = row.progressed_at or row.started_at or utcnow()
        self._away_since: datetime | None = row.cluster_away_since

    async def run(self) -> None:
        """Do what is left of it.

        :raises WharfingerError: why it can't; where that is retryable, run it again.
        :raises LostError: it is not ours any more.
        """
        if self._row.status == DeploymentStatus.ACCEPTED:
            now = utcnow()
            started = {"status": DeploymentStatus.PROGRESSING, "started_at": now, "progressed_at": now}
            await self._store.note(self._row.id, "progressing", {}, **started)
        if self._row.kind == DeploymentKind.DELETE:
            await self._steps.delete(self._row, Step.DELETE_SERVICE, "Service")
            await self._steps.delete(self._row, Step.DELETE_DEPLOYMENT, "Deployment")
            await self._finish(DeploymentStatus.SUCCEEDED, {})
            return
        applied = await self._steps.apply_deployment(self._row)
        labels = match_labels(self._row.name, applied)
        if spec_of(self._row).port is None:
            await self._steps.delete(self._row, Step.DELETE_SERVICE, "Service")
        else:
            await self._steps.apply_service(self._row, labels)
        kube = await self._steps.clusters.connect(self._row.cluster)
        await self._follow(RolloutView(kube, self._row, labels))

    async def fail(self, reason: Reason) -> None:
        await self._finish(DeploymentStatus.FAILED, {"reason": reason.model_dump(mode="json")})

    async def wait_for_cluster(self, away: WharfingerError) -> bool:
        """Note since when the cluster, or AWS before it, is away; says whether that was too long, so that it failed.

        Too long is a progress deadline of its own: what was found late by who took the rollout over may yet be mended.
        """
        if self._away_since is None:
            told = {"code": away.code, "detail": away.detail}
            await self._store.note(self._row.id, "cluster_away", told, cluster_away_since=utcnow())
        elif utcnow() > self._away_since + self._patience:
            await self.fail(Reason(code=away.code, message=away.detail))
            return True
        return False

    @property
    def _patience(self) -> timedelta:
        return spec_of(self._row).progress_deadline + _GRACE

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
        found = view.deployment
        if found is None:
            return False
        await self._steps.refuse_newer(self._row, found)
        if deployment_of(found) != self._row.id:
            return False
        self._require_unchanged(found)
        await self._note_progress(found)
        if is_complete(found):
            if view.awaits_address:
                return False
            await self._finish(DeploymentStatus.SUCCEEDED, {"urls": await view.urls()})
            return True
        reason = None
        if is_out_of_time(found):
            reason = why_stalled(found, await view.newest_pods())
        elif hopeless(view.pods):
            # Perhaps that of an older template, on its way out.
            reason = hopeless(await view.newest_pods())
        if reason is None:
            return False
        await self.fail(reason)
        return True

    async def _why_late(self, view: RolloutView) -> Reason:
        found = view.deployment or {"metadata": {}, "spec": {}}
        if view.deployment and is_complete(found) and view.awaits_address:
            message = f"The pods are ready; the load balancer of Service {self._row.name} has no address yet."
            return Reason(code="load_balancer_pending", message=message)
        return why_stalled(found, await view.newest_pods())

    def _require_unchanged(self, found: Object) -> None:
        """It has to run what was checked: somebody may have edited the object since. Scaling it is another matter.

        :raises ConflictError: it is not (`object_changed`).
        """
        name = self._row.name
        if (image := image_of(found, name)) != self._row.image_uri:
            raise ConflictError(f"Somebody changed Deployment {name}: its image is {image}.", code="object_changed")

    async def _note_progress(self, found: Object) -> None:
        now = progress_of(found)
        if now != self._progress or self._away_since is not None:
            self._progress, self._progressed_at, self._away_since = now, utcnow(), None
            counts = now.model_dump()
            await self._store.note(
                self._row.id,
                "progress",
                counts,
                progress=counts,
                progressed_at=self._progressed_at,
                cluster_away_since=None,
            )

    async def _finish(self, status: DeploymentStatus, values: Json) -> None:
        """End it; where it failed and was to be rolled back, that is accepted in the same commit."""
        row, now = self._row, utcnow()
        ended = {"status": status, "finished_at": now, "cluster_away_since": None} | values
        target = await self._rollback_target(status)

        async with self._steps.database.write() as connection:
            successor = await self._add_rollback(connection, target) if target else None
            await self._store.keep(
                connection, row.id, status, _told(values, successor), **ended, rolled_back_by=successor
            )
            if successor and target:
                await self._store.accept(connection, place_of(row), _rollback_facts(row, target, successor))
        self._store.tell(row.id)
        ROLLOUTS.labels(status).inc()
        if successor:
            self._steps.begin(successor)

    async def _rollback_target(self, status: DeploymentStatus) -> Row[Any] | None:
        asked = self._row.kind == DeploymentKind.DEPLOY and self._row.spec.get("on_failure") == OnFailure.ROLLBACK
        if status is not DeploymentStatus.FAILED or not asked:
            return None
        found = await self._store.last_success(place_of(self._row), self._row.generation)
        # Not behind a removal: what somebody took away does not come back by itself.
        return found if found is not None and found.kind != DeploymentKind.DELETE else None

    async def _add_rollback(self, connection: AsyncConnection, target: Row[Any]) -> str:
        parent, request = parent_of(self._row), {"to": target.id, "because_of": self._row.id}
        return await self._steps.ledger.add_child(connection, parent, Action.DEPLOYMENT_ROLLBACK, request)


def _told(values: Json, successor: str | None) -> Json:
    return values | ({"rolled_back_by": successor} if successor else {})


def _rollback_facts(failed: Row[Any], target: Row[Any], successor: str) -> Json:
    return carried(target) | {
        "id": successor,
        "kind": DeploymentKind.ROLLBACK,
        "rollback_to": target.id,
        "actor": failed.actor,
        "actor_label": failed.actor_label,
        "request_id": failed.request_id,
    }


def carried(target: Row[Any]) -> Json:
    """What a rollback takes from the deployment that it goes back to."""
    spec = target.spec | {"force": False, "adopt": False}
    names = ("image", "image_uri", "digest", "checks")
    return {name: getattr(target, name) for name in names} | {"spec": spec}
