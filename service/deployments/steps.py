"""What a rollout does to a cluster, step by step; each is a child operation, recorded before it is done and once done.

A step may be begun twice, by a crash or by a replica that was paused, so each is idempotent and fenced: an object is
written or deleted only as it was read, and only while no newer generation has written it. One that was not there when
it was read is the exception: server-side apply has no way to say "only if there is still none".
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from service.access.actions import Step
from service.base.db import Database
from service.base.errors import ClusterUnavailableError, ConflictError, WharfingerError
from service.base.permits import Permit, permit
from service.clients.kube.errors import StaleError
from service.clusters.clusters import Clusters
from service.deployments.adoption import managers_taken_over
from service.deployments.store import DeploymentStore, LostError, place_of
from service.deployments.workloads import (
    DEPLOYMENT_ANNOTATION,
    GENERATION_ANNOTATION,
    Object,
    deployment,
    deployment_of,
    generation_of,
    is_ours,
    service,
    service_selector,
)
from service.models.audit import Status
from service.models.workloads import WorkloadSpec
from service.operations.calls import Child, Json, Parent
from service.operations.ledger import Ledger

if TYPE_CHECKING:
    from service.clients.kube.client import Kube

_MOST_STALE = 20
"""How often an object may change under our hands before we begin again: controllers write to it all the time."""


class Steps:
    """Everything that rollouts need, and the steps themselves."""

    def __init__(self, *, database: Database, ledger: Ledger, store: DeploymentStore, clusters: Clusters) -> None:
        self.database = database
        self.ledger = ledger
        self.store = store
        self.clusters = clusters
        self.begin: Callable[[str], None] = lambda _: None
        """Runs a deployment that was accepted in the course of another; set by whoever runs rollouts."""

    async def apply_deployment(self, row: Row[Any]) -> Object:
        """Gives the Deployment as it was applied, or as it is now where that was done before."""
        applied: Object | None = None

        async def act(kube: "Kube") -> Json:
            nonlocal applied
            applied = await self._apply(kube, row, "Deployment", partial(_deployment_of, row))
            return {"generation": applied["metadata"].get("generation"), "digest": row.digest}

        await self._step(row, Step.APPLY_DEPLOYMENT, {"image_uri": row.image_uri, "digest": row.digest}, act)
        return applied or await self._present(row)

    async def apply_service(self, row: Row[Any], labels: Mapping[str, str]) -> None:
        """In front of the pods of the Deployment with these match labels."""
        chosen = service_selector(row.name, labels, is_adopting=bool(row.spec.get("adopt")))

        async def act(kube: "Kube") -> Json:
            made = partial(service, row.name, spec_of(row), _notes(row), chosen)
            applied = await self._apply(kube, row, "Service", lambda _: made())
            return {"ports": applied["spec"].get("ports")}

        await self._step(row, Step.APPLY_SERVICE, {"port": row.spec["port"]}, act)

    async def delete(self, row: Row[Any], step: Step, kind: str) -> None:
        async def act(kube: "Kube") -> Json:
            return {"deleted": await self._delete(kube, row, kind)}

        await self._step(row, step, {"kind": kind, "name": row.name}, act)

    async def _delete(self, kube: "Kube", row: Row[Any], kind: str) -> bool:
        for _ in range(_MOST_STALE):
            found = await kube.find(kind, row.namespace, row.name)
            if found is None or not is_ours(found):
                return False
            await self.refuse_newer(row, found)
            try:
                await kube.delete(found)
            except StaleError:
                continue
            return True
        raise ClusterUnavailableError(f"{kind} {row.name} changes faster than it can be deleted.")

    async def _present(self, row: Row[Any]) -> Object:
        kube = await self.clusters.connect(row.cluster)
        found = await kube.find("Deployment", row.namespace, row.name)
        if found is None:
            raise gone("Deployment", row.name)
        return found

    async def _apply(self, kube: "Kube", row: Row[Any], kind: str, make: Callable[[Object | None], Object]) -> Object:
        for _ in range(_MOST_STALE):
            found = await kube.find(kind, row.namespace, row.name)
            made = make(found)
            try:
                if found is not None:
                    await self.refuse_newer(row, found)
                    _refuse_foreign(row, found, kind)
                    present = await _adopted(kube, row, found)
                    made["metadata"]["resourceVersion"] = present["metadata"]["resourceVersion"]
                return await kube.apply(made, row.namespace, force=_forced(row))
            except StaleError:
                continue
        raise ClusterUnavailableError(f"{kind} {row.name} changes faster than it can be applied.")

    async def refuse_newer(self, row: Row[Any], found: Object) -> None:
        """:raises LostError: superseded. :raises ConflictError: the object was written by one we know nothing of."""
        there = generation_of(found)
        if there <= row.generation or deployment_of(found) == row.id:
            return
        if not await self.store.is_newest(place_of(row), row.generation):
            raise LostError(row.id)
        raise ConflictError(
            f"{row.name} has generation {there} and this is {row.generation}: another installation deployed it, or "
            "this database is older than the cluster. Deploy it anew, which counts on from there.",
            code="generation_ahead",
        )

    async def _step(self, row: Row[Any], step: Step, request: Json, act: Callable[["Kube"], Awaitable[Json]]) -> None:
        kube = await self.clusters.connect(row.cluster)
        child = await self._open(row, step, request)
        if child.status == Status.SUCCEEDED:
            return
        if child.status == Status.FAILED:
            raise ConflictError(child.note or "", code=child.code)
        token = permit.set(Permit(child.id))
        try:
            result = await act(kube)
        except WharfingerError as error:
            if not error.retryable:  # else the row stays open: the step is tried again
                note = error.detail[:512]
                await self.ledger.complete(child.id, Status.FAILED, code=error.code, note=note)
            raise
        finally:
            permit.reset(token)
        await self.ledger.complete(child.id, Status.SUCCEEDED, result=result)

    async def _open(self, row: Row[Any], step: Step, request: Json) -> Child:
        async def guard(connection: AsyncConnection) -> None:
            await self.store.keep(connection, row.id, None, {})

        spec = spec_of(row)
        return await self.ledger.open_child(parent_of(row), step, request, within=spec.progress_deadline, guard=guard)


def parent_of(row: Row[Any]) -> Parent:
    return Parent(row.id, row.actor, row.actor_label, row.request_id, f"{row.cluster}/{row.namespace}/{row.name}")


def spec_of(row: Row[Any]) -> WorkloadSpec:
    return WorkloadSpec.model_validate({name: row.spec[name] for name in WorkloadSpec.model_fields if name in row.spec})


def _deployment_of(row: Row[Any], found: Object | None) -> Object:
    return deployment(row.name, spec_of(row), row.image_uri, _notes(row), found)


def _notes(row: Row[Any]) -> dict[str, str]:
    return {DEPLOYMENT_ANNOTATION: row.id, GENERATION_ANNOTATION: str(row.generation)}


def _forced(row: Row[Any]) -> bool:
    return bool(row.spec.get("force"))


def _refuse_foreign(row: Row[Any], found: Object, kind: str) -> None:
    if not is_ours(found) and not row.spec.get("adopt"):
        raise not_ours(kind, row.name)


async def _adopted(kube: "Kube", row: Row[Any], found: Object) -> Object:
    """The object as it is to be applied to: where others are to lose it, with what runs in it ours."""
    entries = managers_taken_over(found) if row.spec.get("adopt") else None
    return found if entries is None else await kube.set_managers(found, entries)


def gone(kind: str, name: str) -> WharfingerError:
    return ConflictError(f"{kind} {name} was deleted by somebody else.", code="object_gone")


def not_ours(kind: str, name: str) -> WharfingerError:
    return ConflictError(
        f"There is a {kind} {name} that wharfinger did not make; an admin may adopt it.", code="object_not_ours"
    )
