"""One rollout: the steps, then following it until it is over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from service.authz import Action, Step
from service.clock import utcnow
from service.deployment_resources import DeploymentKind, DeploymentStatus, OnFailure, Progress, Reason, ServiceType
from service.deployment_store import LostError, place_of
from service.errors import WharfingerError
from service.ledger import Json
from service.rollout_steps import Steps, gone, parent_of, spec_of
from service.rollout_verdict import (
    hopeless,
    host_ips,
    is_complete,
    is_out_of_time,
    newest,
    progress_of,
    why_stalled,
)
from service.workloads import Object, deployment_of, generation_of, match_labels, selector

if TYPE_CHECKING:
    from service.clients.kube import Kube

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
        self._is_away = row.cluster_away_since is not None

    async def run(self) -> None:
        """Do what is left of it.

        :raises ClusterUnavailableError: the cluster is away; run it again. :raises LostError: it is not ours any more.
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
        labels = match_labels(applied) or selector(self._row.name)
        await self._steps.apply_service(self._row, labels)
        await self._follow(await self._steps.clusters.connect(self._row.cluster), labels)

    async def fail(self, reason: Reason) -> None:
        await self._finish(DeploymentStatus.FAILED, {"reason": reason.model_dump(mode="json")})

    async def wait_for_cluster(self, away: WharfingerError) -> bool:
        """Note since when the cluster is away; past the progress deadline it has failed, and that is the end of it."""
        if utcnow() > self._deadline():
            await self.fail(Reason(code=away.code, message=away.detail))
            return True
        if not self._is_away:
            now = utcnow()
            await self._store.note(
                self._row.id, "cluster_away", {"code": away.code, "detail": away.detail}, cluster_away_since=now
            )
        return False

    def _deadline(self) -> datetime:
        return self._progressed_at + spec_of(self._row).progress_deadline + _GRACE

    async def _follow(self, kube: "Kube", labels: dict[str, str]) -> None:
        seen: dict[tuple[str, str], Object] = {}
        async with _changes(kube, self._row, labels) as queue:
            while True:
                await self._next(queue, seen, kube, labels)
                while not queue.empty():
                    _keep(seen, queue.get_nowait())
                if await self._judge(kube, seen, labels):
                    return

    async def _next(
        self, queue: "asyncio.Queue[Any]", seen: dict[tuple[str, str], Object], kube: "Kube", labels: dict[str, str]
    ) -> None:
        left = (self._deadline() - utcnow()).total_seconds()
        try:
            _keep(seen, await asyncio.wait_for(queue.get(), max(_FIRST_LOOK, left)))
        except TimeoutError:
            found = seen.get(("Deployment", self._row.name)) or {"metadata": {}, "spec": {}}
            pods = await self._newest(kube, found, seen, labels)
            raise _OverdueError(why_stalled(found, pods)) from None

    async def _judge(self, kube: "Kube", seen: dict[tuple[str, str], Object], labels: dict[str, str]) -> bool:
        """Whether it is over, with what came of it recorded."""
        found = seen.get(("Deployment", self._row.name))
        if found is None or not self._is_present(found):
            return False
        await self._note_progress(found)
        if is_complete(found):
            urls = await self._urls(kube, found, labels)
            await self._finish(DeploymentStatus.SUCCEEDED, {"urls": urls})
            return True
        reason = None
        if is_out_of_time(found):
            reason = why_stalled(found, await self._newest(kube, found, seen, labels))
        elif hopeless(_pods(seen)):
            # Perhaps that of an older template, on its way out.
            reason = hopeless(await self._newest(kube, found, seen, labels))
        if reason is None:
            return False
        await self.fail(reason)
        return True

    def _is_present(self, found: Object) -> bool:
        """Whether the object is as this deployment left it."""
        if deployment_of(found) == self._row.id:
            return True
        if generation_of(found) > self._row.generation:
            raise LostError(self._row.id)
        return False

    async def _note_progress(self, found: Object) -> None:
        now = progress_of(found)
        if now != self._progress or self._is_away:
            self._progress, self._progressed_at, self._is_away = now, utcnow(), False
            counts = now.model_dump()
            await self._store.note(
                self._row.id,
                "progress",
                counts,
                progress=counts,
                progressed_at=self._progressed_at,
                cluster_away_since=None,
            )

    async def _newest(
        self, kube: "Kube", found: Object, seen: dict[tuple[str, str], Object], labels: dict[str, str]
    ) -> list[Object]:
        sets = await kube.list("ReplicaSet", self._row.namespace, labels)
        return [dict(one) for one in newest(found, sets, _pods(seen))]

    async def _urls(self, kube: "Kube", found: Object, labels: dict[str, str]) -> list[str]:
        # Read, and not as watched: the two watches are not in step, and this pod may be ready only in the other.
        pods, sets, front = await asyncio.gather(
            kube.list("Pod", self._row.namespace, labels),
            kube.list("ReplicaSet", self._row.namespace, labels),
            kube.find("Service", self._row.namespace, self._row.name),
        )
        return _urls(self._row, front or {}, host_ips(newest(found, sets, pods)))

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
        if successor:
            self._steps.begin(successor)

    async def _rollback_target(self, status: DeploymentStatus) -> Row[Any] | None:
        asked = self._row.kind == DeploymentKind.DEPLOY and self._row.spec.get("on_failure") == OnFailure.ROLLBACK
        if status is not DeploymentStatus.FAILED or not asked:
            return None
        return await self._store.last_success(place_of(self._row), self._row.generation)

    async def _add_rollback(self, connection: AsyncConnection, target: Row[Any]) -> str:
        parent, request = parent_of(self._row), {"to": target.id, "because_of": self._row.id}
        return await self._steps.ledger.add_child(connection, parent, Action.DEPLOYMENT_ROLLBACK, request)


class _OverdueError(WharfingerError):
    """No progress for longer than was asked for."""

    status, code, title = 409, "progress_deadline_exceeded", "The rollout made no progress"

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.message, code=reason.code)


@asynccontextmanager
async def _changes(kube: "Kube", row: Row[Any], labels: dict[str, str]) -> AsyncIterator["asyncio.Queue[Any]"]:
    """The Deployment's and its pods' changes as they come; an exception where a watch broke."""
    queue: asyncio.Queue[Any] = asyncio.Queue()

    async def pump(kind: str, **which: Any) -> None:  # noqa: ANN401 - passed on
        try:
            async for change, found in kube.watch(kind, row.namespace, **which):
                queue.put_nowait((kind, change, found))
        except Exception as error:  # noqa: BLE001 - raised where the queue is read
            queue.put_nowait(error)

    watches = [
        asyncio.create_task(pump("Deployment", name=row.name)),
        asyncio.create_task(pump("Pod", labels=labels)),
    ]
    try:
        yield queue
    finally:
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)


def _keep(seen: dict[tuple[str, str], Object], item: Any) -> None:  # noqa: ANN401 - what the queue has
    if isinstance(item, Exception):
        raise item
    kind, change, found = item
    key = (kind, found["metadata"]["name"])
    if change == "DELETED" and kind == "Deployment":
        raise gone(found["metadata"]["name"])
    if change == "DELETED":
        seen.pop(key, None)
    else:
        seen[key] = found


def _pods(seen: dict[tuple[str, str], Object]) -> list[Object]:
    return [found for (kind, _), found in seen.items() if kind == "Pod"]


def _urls(row: Row[Any], found: Object, hosts: list[str]) -> list[str]:
    spec, kind = found.get("spec") or {}, row.spec["service_type"]
    ports = spec.get("ports") or [{}]
    if kind == ServiceType.NODE_PORT:
        return [f"http://{host}:{ports[0].get('nodePort')}" for host in hosts]
    if kind == ServiceType.CLUSTER_IP:
        return [f"http://{row.name}.{row.namespace}.svc:{row.spec['port']}"]
    ingress = ((found.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    names = [one.get("hostname") or one.get("ip") for one in ingress]
    return [f"http://{name}:{row.spec['port']}" for name in names if name]


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
