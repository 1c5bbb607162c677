"""Deployments: accept, list, get, follow, roll back, cancel, delete. What runs them is `rollouts`."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Self
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from service.access import authz
from service.access.actions import Action
from service.access.authz import Caller
from service.base.errors import (
    ConflictError,
    DeploymentFailedError,
    LongWork,
    NotFoundError,
)
from service.clients.registry import Registry
from service.clusters.clusters import Clusters
from service.deployments import rollbacks
from service.deployments.checks import DeploymentChecks
from service.deployments.listing import DeploymentFilter, covered_by
from service.deployments.preview import changes_of
from service.deployments.record import DeploymentRecord, Place
from service.deployments.rights import Needed, Rights
from service.deployments.rollouts import Rollouts
from service.deployments.store import DeploymentStore, Guard
from service.deployments.values import without_values
from service.deployments.workloads import Object, generation_of
from service.models.audit import Status
from service.models.common import etag_of
from service.models.deployments import (
    Deployment,
    DeploymentCreate,
    DeploymentEvent,
    DeploymentKind,
    DeploymentPage,
    DeploymentStatus,
    DryRun,
)
from service.operations.calls import Call, Done, Intent, Json, Open, Outcome, Settled, nothing
from service.operations.core import Core
from service.operations.jobs.jobs import Jobs
from service.operations.jobs.values import Accepted
from service.operations.jobs.waiters import Waiters
from service.operations.operations import Act, Operations, Settling
from service.registry.registries import Registries


@dataclass(slots=True)
class _Made:
    """A deployment by its id; and once it is accepted, by an operation of now, its job."""

    id: str
    accepted: Accepted | None = None

    @classmethod
    def from_recorded(cls, result: Json) -> Self:
        return cls(str(result["id"]))


class Deployments:
    def __init__(
        self,
        *,
        registries: Registries,
        clusters: Clusters,
        checks: DeploymentChecks,
        store: DeploymentStore,
        rollouts: Rollouts,
        waiters: Waiters,
        operations: Operations,
    ) -> None:
        self._registries = registries
        self._clusters = clusters
        self._checks = checks
        self._store = store
        self._rollouts = rollouts
        self._rights = Rights(clusters=clusters)
        self._waiters = waiters
        self._operations = operations

    @classmethod
    def of(cls, core: Core, *, registries: Registries, clusters: Clusters, rollouts: Rollouts, jobs: Jobs) -> Self:
        return cls(
            registries=registries,
            clusters=clusters,
            checks=DeploymentChecks(registries=registries, clusters=clusters),
            store=DeploymentStore(database=core.database),
            rollouts=rollouts,
            waiters=jobs.store.waiters,
            operations=core.operations,
        )

    @property
    def settling(self) -> Mapping[Action, Settling]:
        actions = (
            Action.DEPLOYMENT_CREATE,
            Action.DEPLOYMENT_ROLLBACK,
            Action.DEPLOYMENT_CANCEL,
            Action.DEPLOYMENT_DELETE,
        )
        return dict.fromkeys(actions, Settling(self._settle_accepted))

    async def create(self, call: Call, registry: str | None, asked: DeploymentCreate) -> Done[str]:
        """Accept a deployment, once image, cluster and the API server's own dry run say that it can be.

        :raises InvalidError: the image's platforms do not fit (`platform_mismatch`), or the cluster refuses a value.
        :raises ConflictError: objects are not ours, another manager owns a field, a node port is taken.
        """
        source = self._source(registry, asked.cluster)
        place = Place(asked.cluster, asked.namespace, asked.name)

        async def act(operation_id: str) -> Outcome[_Made]:
            checked = await self._checks.check(call.caller, source, asked)
            facts = {
                "id": operation_id,
                "kind": DeploymentKind.DEPLOY,
                "spec": asked.model_dump(mode="json") | {"registry": source.name},
                "image": asked.image,
                "image_uri": checked.image_uri,
                "digest": checked.digest,
                "checks": checked.checks,
            }
            return self._accepted(call, place, facts, after=_newest_generation(checked.before))

        needed = self._rights.to_create(place, asked, source.name)
        request = asked.model_dump(mode="json") | {"registry": source.name}
        # What is set in the environment may be secret: the trail has the names alone.
        request["env"] = sorted(asked.env)
        intent = Intent(Action.DEPLOYMENT_CREATE, place.target, request, _Made.from_recorded, requires=needed)
        return await self._accept(call, intent, act)

    async def preview(self, caller: Caller, registry: str | None, asked: DeploymentCreate) -> DryRun:
        """What `create` would change, by a dry run of the API server."""
        place = Place(asked.cluster, asked.namespace, asked.name)
        source = self._source(registry, asked.cluster)
        for action, on in self._rights.to_create(place, asked, source.name):
            authz.require(caller, action, on)
        checked = await self._checks.check(caller, source, asked)
        return DryRun(image_uri=checked.image_uri, changes=list(changes_of(asked.name, checked)))

    async def rollback(self, call: Call, deployment_id: str, to: UUID | None) -> Done[str]:
        """Accept a deployment that goes back to the last success before this one, or to a named one.

        :raises ConflictError: there is nothing to go back to (`nothing_to_roll_back_to`).
        """
        record = await self._known(call.caller, deployment_id)
        named = str(to) if to else None
        goal = await rollbacks.goal_asked_for(self._store, record, named)

        async def act(operation_id: str) -> Outcome[_Made]:
            facts = rollbacks.facts_of_rollback(rollbacks.require_goal(record, goal, named))
            return self._accepted(call, record.place, facts | {"id": operation_id})

        needed: Needed = [(Action.DEPLOYMENT_ROLLBACK, record.place.target)]
        if goal is not None:
            # Before the version that keeps it, the registry was nearly always the cluster's.
            source = self._source(goal.stored_spec.get("registry"), record.place.cluster)
            needed = self._rights.to_roll_back(record.place, goal, source.name)
        request = {"deployment": deployment_id, "to": named}
        intent = Intent(Action.DEPLOYMENT_ROLLBACK, record.place.target, request, _Made.from_recorded, requires=needed)
        return await self._accept(call, intent, act)

    async def delete(self, call: Call, deployment_id: str, *, force: bool) -> Done[str]:
        """Accept the removal of a target's objects, of those that are ours; `force`: whichever deployment is newest.

        :raises ConflictError: another one is (`deployment_not_newest`).
        :raises PreconditionError: it is not as `If-Match` says.
        """
        record = await self._known(call.caller, deployment_id)

        async def guard(connection: AsyncConnection, newest: int) -> None:
            present = await self._store.read(connection, record.id)
            call.require_match(etag_of(present.to_deployment()), f"Deployment {record.id}")
            if record.generation < newest and not force:
                raise ConflictError(
                    f"Deployment {record.id} is of generation {record.generation}; {newest} is what counts by now.",
                    code="deployment_not_newest",
                )

        async def act(operation_id: str) -> Outcome[_Made]:
            facts = {"id": operation_id, "kind": DeploymentKind.DELETE, "spec": without_values(record.stored_spec)}
            return self._accepted(call, record.place, record.carried() | facts, guard=guard)

        target, request = record.place.target, {"deployment": record.id, "force": force}
        needed = self._rights.to_delete(record.place)
        intent = Intent(Action.DEPLOYMENT_DELETE, target, request, _Made.from_recorded, requires=needed)
        return await self._accept(call, intent, act)

    async def cancel(self, call: Call, deployment_id: str) -> Done[None]:
        """Stop following a rollout; the cluster is left as it is.

        :raises ConflictError: it is over (`deployment_over`).
        """
        record = await self._known(call.caller, deployment_id)

        async def write(connection: AsyncConnection) -> None:
            if not await self._rollouts.cancel(connection, record.id):
                raise ConflictError(f"Deployment {record.id} is over.", code="deployment_over")

        async def act(_: str) -> Outcome[None]:
            return Outcome({"id": record.id}, None, write)

        intent = Intent(Action.DEPLOYMENT_CANCEL, record.place.target, {"deployment": record.id}, nothing)
        done = await self._operations.run(call, intent, act)
        self._rollouts.cancelled(record.id)
        return done

    async def get(self, caller: Caller, deployment_id: str) -> Deployment:
        """:raises NotFoundError: there is none that the caller may know of."""
        return (await self._known(caller, deployment_id)).to_deployment()

    async def list(self, caller: Caller, wanted: DeploymentFilter, *, cursor: str | None, limit: int) -> DeploymentPage:
        """Those the caller may read, the newest first."""
        conditions = [*wanted.conditions(), covered_by(authz.granting(caller, Action.DEPLOYMENT_READ))]
        records, following = await self._store.page(conditions, cursor, limit)
        return DeploymentPage(items=[one.to_deployment() for one in records], next_cursor=following)

    async def wait(self, caller: Caller, deployment_id: str, seconds: float, *, is_repeatable: bool) -> Deployment:
        """The deployment once it has succeeded. `is_repeatable`: the request that waits may be sent again as it is.

        :raises DeploymentFailedError: it ended otherwise. :raises WaitTimeoutError: it goes on.
        """
        work, get = LongWork("deployment", deployment_id), partial(self.get, caller, deployment_id)
        ended = await self._waiters.wait_for_end(
            work, get, lambda one: one.status, seconds, is_repeatable=is_repeatable
        )
        return _succeeded(ended)

    def events(self, caller: Caller, deployment_id: str, after: int) -> AsyncGenerator[DeploymentEvent]:
        """What happened and what happens, until the deployment is over."""

        async def is_over() -> bool:
            return (await self._known(caller, deployment_id)).finished_at is not None

        return self._waiters.events(deployment_id, is_over, partial(self._store.events, deployment_id), after)

    async def _accept(self, call: Call, intent: Intent[_Made], act: Act[_Made]) -> Done[str]:
        """The id of the deployment that was accepted, which this process begins at once."""
        done = await self._operations.run(call, intent, act)
        if done.value.accepted is not None:
            self._rollouts.acceptance.begin(done.value.accepted)
        return Done(done.operation_id, done.value.id, done.is_replayed)

    def _accepted(
        self, call: Call, place: Place, facts: Json, *, after: int = 0, guard: Guard | None = None
    ) -> Outcome[_Made]:
        """The outcome that makes a deployment, of a generation `after` that, in the commit of its operation."""
        who = {"actor": call.caller.id, "actor_label": call.caller.label, "request_id": call.request_id}
        made = _Made(facts["id"])

        async def write(connection: AsyncConnection) -> None:
            accept = self._rollouts.acceptance.accept
            made.accepted = await accept(connection, place, facts | who, after=after, guard=guard)

        return Outcome({"id": made.id, "digest": facts["digest"]}, made, write)

    async def _known(self, caller: Caller, deployment_id: str) -> DeploymentRecord:
        record = await self._store.get(deployment_id)
        if record is None or not authz.is_allowed(caller, Action.DEPLOYMENT_READ, record.place.target):
            raise NotFoundError("deployment", deployment_id)
        return record

    def _source(self, registry: str | None, cluster: str) -> Registry:
        """The registry of that name, or the cluster's."""
        return self._registries.find(registry or self._clusters.registry_of(cluster))

    async def _settle_accepted(self, operation: Open) -> Settled:
        # Accepted means one commit of both: an operation that is open has made no deployment.
        return Settled(Status.FAILED, f"{operation.action} was not accepted")


def _newest_generation(present: Mapping[str, Object | None]) -> int:
    """That of the objects: more than we have counted where the database is younger than they are."""
    return max((generation_of(one) for one in present.values() if one is not None), default=0)


def _succeeded(deployment: Deployment) -> Deployment:
    if deployment.status is DeploymentStatus.SUCCEEDED:
        return deployment
    reason = deployment.reason
    why = f": {reason.code}: {reason.message.rstrip('.')}" if reason else ""
    raise DeploymentFailedError(
        f"Deployment {deployment.id} {deployment.status}{why}.",
        code=None if deployment.status is DeploymentStatus.FAILED else f"deployment_{deployment.status}",
        work=LongWork("deployment", deployment.id),
        members={"deployment": deployment.model_dump(mode="json")},
    )
