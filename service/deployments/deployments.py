"""Deployments: accept, list, get, follow, roll back, cancel, delete. What runs them is `rollouts`."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, false, or_, true
from sqlalchemy.ext.asyncio import AsyncConnection

from service.access import authz
from service.access.actions import Action
from service.access.authz import Binding, Caller, Target
from service.base import cursors
from service.base.errors import (
    ConflictError,
    DeploymentFailedError,
    NotFoundError,
    WaitTimeoutError,
)
from service.base.tables import deployments
from service.base.telemetry import ROLLOUTS
from service.clusters.clusters import Clusters
from service.deployments.checks import DeploymentChecks
from service.deployments.preview import changes_of
from service.deployments.rollout import carried
from service.deployments.rollouts import Rollouts
from service.deployments.store import DeploymentStore, Guard, Place, place_of
from service.deployments.values import FORGOTTEN, without_values
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
from service.models.references import Reference
from service.operations.calls import Call, Done, Intent, Json, Open, Outcome, Settled
from service.operations.runner import Act, Operations
from service.registry.registries import Registries


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which deployments to list; None is not looked at."""

    cluster: str | None = None
    namespace: str | None = None
    name: str | None = None
    status: DeploymentStatus | None = None


class Deployments:
    def __init__(
        self,
        *,
        registries: Registries,
        clusters: Clusters,
        checks: DeploymentChecks,
        store: DeploymentStore,
        rollouts: Rollouts,
        operations: Operations,
    ) -> None:
        self._registries = registries
        self._clusters = clusters
        self._checks = checks
        self._store = store
        self._rollouts = rollouts
        self._operations = operations
        for action in (Action.DEPLOYMENT_CREATE, Action.DEPLOYMENT_ROLLBACK, Action.DEPLOYMENT_DELETE):
            operations.settles(action, self._settle_accepted)
        operations.settles(Action.DEPLOYMENT_CANCEL, self._settle_accepted)

    async def create(self, call: Call, registry: str | None, asked: DeploymentCreate) -> Done:
        """Accept a deployment, once image, cluster and the API server's own dry run say that it can be.

        :raises InvalidError: the image's platforms do not fit (`platform_mismatch`), or the cluster refuses a value.
        :raises ConflictError: objects are not ours, another manager owns a field, a node port is taken.
        """
        chosen = registry or self._clusters.registry_of(asked.cluster)
        source = self._registries.find(chosen)
        target = Target(cluster=asked.cluster, namespace=asked.namespace, name=asked.name)

        async def act(operation_id: str) -> Outcome:
            checked = await self._checks.check(source.name, asked)
            facts = {
                "id": operation_id,
                "kind": DeploymentKind.DEPLOY,
                "spec": asked.model_dump(mode="json") | {"registry": source.name},
                "image": asked.image,
                "image_uri": checked.image_uri,
                "digest": checked.digest,
                "checks": checked.checks,
            }
            return self._accepted(call, _place(target), facts, after=_newest_generation(checked.before))

        needed = self._needs(Action.DEPLOYMENT_CREATE, target, source.name, asked.model_dump())
        request = asked.model_dump(mode="json") | {"registry": source.name}
        # What is set in the environment may be secret: the trail has the names alone.
        request["env"] = sorted(asked.env)
        return await self._accept(call, Intent(Action.DEPLOYMENT_CREATE, target, request, requires=needed), act)

    async def preview(self, caller: Caller, registry: str | None, asked: DeploymentCreate) -> DryRun:
        """What `create` would change, by a dry run of the API server."""
        target = Target(cluster=asked.cluster, namespace=asked.namespace, name=asked.name)
        chosen = self._registries.find(registry or self._clusters.registry_of(asked.cluster)).name
        for action, on in self._needs(Action.DEPLOYMENT_CREATE, target, chosen, asked.model_dump()):
            authz.require(caller, action, on)
        checked = await self._checks.check(chosen, asked)
        return DryRun(image_uri=checked.image_uri, changes=list(changes_of(asked.name, checked)))

    async def rollback(self, call: Call, deployment_id: str, to: UUID | None) -> Done:
        """Accept a deployment that goes back to the last success before this one, or to a named one.

        :raises ConflictError: there is nothing to go back to (`nothing_to_roll_back_to`).
        """
        row = await self._known(call.caller, deployment_id)
        target, named = _target(row), str(to) if to else None
        goal = await self._goal(row, named)

        async def act(operation_id: str) -> Outcome:
            if goal is None:
                raise ConflictError(_no_goal(row, named), code="nothing_to_roll_back_to")
            if goal.spec.get(FORGOTTEN):
                raise ConflictError(
                    f"The values of the environment of deployment {goal.id} are not kept any more: deploy it anew.",
                    code="environment_forgotten",
                )
            facts = {"id": operation_id, "kind": DeploymentKind.ROLLBACK, "rollback_to": goal.id}
            return self._accepted(call, place_of(row), carried(goal) | facts)

        needed: Sequence[tuple[Action, Target]] = [(Action.DEPLOYMENT_ROLLBACK, target)]
        if goal is not None:
            spec = carried(goal)["spec"]
            # Before the version that keeps it, the registry was nearly always the cluster's.
            source = self._registries.find(spec.get("registry") or self._clusters.registry_of(row.cluster))
            needed = self._needs(Action.DEPLOYMENT_ROLLBACK, target, source.name, spec)
        request = {"deployment": deployment_id, "to": named}
        return await self._accept(call, Intent(Action.DEPLOYMENT_ROLLBACK, target, request, requires=needed), act)

    async def delete(self, call: Call, deployment_id: str, *, force: bool) -> Done:
        """Accept the removal of a target's objects, of those that are ours; `force`: whichever deployment is newest.

        :raises ConflictError: another one is (`deployment_not_newest`).
        :raises PreconditionError: it is not as `If-Match` says.
        """
        row = await self._known(call.caller, deployment_id)

        async def guard(connection: AsyncConnection, newest: int) -> None:
            found = await self._store.read(connection, row.id)
            call.require_match(etag_of(_to_deployment(found)), f"Deployment {row.id}")
            if found.generation < newest and not force:
                raise ConflictError(
                    f"Deployment {row.id} is of generation {found.generation}; {newest} is what counts by now.",
                    code="deployment_not_newest",
                )

        async def act(operation_id: str) -> Outcome:
            facts = {"id": operation_id, "kind": DeploymentKind.DELETE, "spec": without_values(row.spec)}
            return self._accepted(call, place_of(row), carried(row) | facts, guard=guard)

        target, request = _target(row), {"deployment": row.id, "force": force}
        needed = [(Action.DEPLOYMENT_DELETE, target)]
        if self._clusters.is_reserved(row.cluster, row.namespace):
            needed.append((Action.DEPLOYMENT_RESERVED_NAMESPACE, target))
        return await self._accept(call, Intent(Action.DEPLOYMENT_DELETE, target, request, requires=needed), act)

    async def cancel(self, call: Call, deployment_id: str) -> Done:
        """Stop following a rollout; the cluster is left as it is.

        :raises ConflictError: it is over (`deployment_over`).
        """
        row = await self._known(call.caller, deployment_id)

        async def write(connection: AsyncConnection) -> None:
            if not await self._store.cancel(connection, row.id):
                raise ConflictError(f"Deployment {row.id} is over.", code="deployment_over")

        async def act(_: str) -> Outcome:
            return Outcome({"id": row.id}, write)

        intent = Intent(Action.DEPLOYMENT_CANCEL, _target(row), {"deployment": row.id})
        done = await self._operations.run(call, intent, act)
        if not done.is_replayed:
            ROLLOUTS.labels(DeploymentStatus.CANCELLED).inc()
        self._rollouts.stop(row.id)
        return done

    async def get(self, caller: Caller, deployment_id: str) -> Deployment:
        """:raises NotFoundError: there is none that the caller may know of."""
        return _to_deployment(await self._known(caller, deployment_id))

    async def list(self, caller: Caller, wanted: Wanted, *, cursor: str | None, limit: int) -> DeploymentPage:
        """Those the caller may read, the newest first."""
        named = {"cluster": wanted.cluster, "namespace": wanted.namespace, "name": wanted.name, "status": wanted.status}
        conditions = [deployments.c[field] == value for field, value in named.items() if value is not None]
        conditions.append(_within(authz.granting(caller, Action.DEPLOYMENT_READ)))
        if cursor:
            conditions.append(deployments.c.id < cursors.decode_id(cursor))
        found = await self._store.page(conditions, limit + 1)
        following = cursors.encode_id(found[limit - 1].id) if len(found) > limit else None
        return DeploymentPage(items=[_to_deployment(row) for row in found[:limit]], next_cursor=following)

    async def wait(self, caller: Caller, deployment_id: str, seconds: float, *, is_repeatable: bool) -> Deployment:
        """The deployment once it has succeeded. `is_repeatable`: the request that waits may be sent again as it is.

        :raises DeploymentFailedError: it ended otherwise. :raises WaitTimeoutError: it goes on.
        """
        ends = asyncio.get_running_loop().time() + seconds
        while True:
            found = await self.get(caller, deployment_id)
            if found.status.is_final:
                return _succeeded(found)
            left = ends - asyncio.get_running_loop().time()
            if left <= 0:
                text, where = f"Deployment {deployment_id} is {found.status}.", path_of(deployment_id)
                after = 1 if is_repeatable else None
                raise WaitTimeoutError(text, retry_after=after, retryable=is_repeatable, location=where)
            await self._store.changed(deployment_id, left)

    async def events(self, caller: Caller, deployment_id: str, after: int) -> AsyncGenerator[DeploymentEvent]:
        """What happened and what happens, until the deployment is over."""
        while True:
            row = await self._known(caller, deployment_id)
            for event in await self._store.events(deployment_id, after):
                after = event.number
                yield DeploymentEvent(number=event.number, at=event.at, type=event.type, data=event.data)
            if row.finished_at is not None:
                return
            await self._store.changed(deployment_id)

    async def _accept(self, call: Call, intent: Intent, act: Act) -> Done:
        done = await self._operations.run(call, intent, act)
        if not done.is_replayed:
            for one in done.result["superseded"]:
                ROLLOUTS.labels(DeploymentStatus.SUPERSEDED).inc()
                self._rollouts.stop(one)
            self._rollouts.begin(done.result["id"])
        return done

    def _accepted(
        self, call: Call, place: Place, facts: Json, *, after: int = 0, guard: Guard | None = None
    ) -> Outcome:
        """The outcome that makes a deployment, of a generation `after` that, in the commit of its operation."""
        who = {"actor": call.caller.id, "actor_label": call.caller.label, "request_id": call.request_id}
        result: Json = {"id": facts["id"], "digest": facts["digest"], "superseded": []}

        async def write(connection: AsyncConnection) -> None:
            superseded = await self._store.accept(connection, place, facts | who, after=after, guard=guard)
            result["superseded"] = list(superseded)

        return Outcome(result, write)

    async def _known(self, caller: Caller, deployment_id: str) -> Row[Any]:
        row = await self._store.get(deployment_id)
        if row is None or not authz.is_allowed(caller, Action.DEPLOYMENT_READ, _target(row)):
            raise NotFoundError("deployment", deployment_id)
        return row

    def _needs(self, action: Action, target: Target, registry: str, spec: Json) -> Sequence[tuple[Action, Target]]:
        """What the caller must be allowed to do for this to run there."""
        image = Target(registry, Reference.parse(spec["image"]).repository)
        beside = {
            Action.DEPLOYMENT_FORCE: spec["force"],
            Action.DEPLOYMENT_ADOPT: spec["adopt"],
            Action.DEPLOYMENT_SERVICE_ACCOUNT: spec.get("service_account"),
            Action.DEPLOYMENT_RESERVED_NAMESPACE: self._clusters.is_reserved(
                target.cluster or "", target.namespace or ""
            ),
        }
        asked = [(one, target) for one, is_asked in beside.items() if is_asked]
        return [(action, target), (Action.REPOSITORY_READ, image), *asked]

    async def _goal(self, row: Row[Any], to: str | None) -> Row[Any] | None:
        if to is None:
            return await self._store.last_success(place_of(row), row.generation, with_image=True)
        found = await self._store.get(to)
        is_fit = found is not None and place_of(found) == place_of(row) and found.kind != DeploymentKind.DELETE
        return found if found is not None and is_fit and found.status == DeploymentStatus.SUCCEEDED else None

    async def _settle_accepted(self, operation: Open) -> Settled:
        # Accepted means one commit of both: an operation that is open has made no deployment.
        return Settled(Status.FAILED, f"{operation.action} was not accepted")


def _within(bindings: Sequence[Binding]) -> ColumnElement[bool]:
    """Where a deployment is covered by one of these: as `authz` has it, for SQL."""
    return or_(false(), *(and_(*_bounds(one)) for one in bindings if one.cluster and one.namespace))


def _bounds(binding: Binding) -> Iterator[ColumnElement[bool]]:
    yield true()
    if binding.cluster != authz.EVERY:
        yield deployments.c.cluster == binding.cluster
    if binding.namespace != authz.EVERY:
        yield deployments.c.namespace == binding.namespace


def _newest_generation(found: Mapping[str, Object | None]) -> int:
    """That of the objects: more than we have counted where the database is younger than they are."""
    return max((generation_of(one) for one in found.values() if one is not None), default=0)


def _succeeded(found: Deployment) -> Deployment:
    if found.status is DeploymentStatus.SUCCEEDED:
        return found
    why = f": {found.reason.code}: {found.reason.message.rstrip('.')}" if found.reason else ""
    code = None if found.status is DeploymentStatus.FAILED else f"deployment_{found.status}"
    raise DeploymentFailedError(
        f"Deployment {found.id} {found.status}{why}.",
        code=code,
        location=path_of(found.id),
        members={"deployment": found.model_dump(mode="json")},
    )


def _no_goal(row: Row[Any], named: str | None) -> str:
    where = f"{row.cluster}/{row.namespace}/{row.name}"
    which = f"has no deployment {named} that succeeded" if named else "has no earlier deployment that succeeded"
    return f"There is nothing to go back to: {where} {which}."


def path_of(deployment_id: str) -> str:
    return f"/v1/deployments/{deployment_id}"


def _place(target: Target) -> Place:
    return Place(target.cluster or "", target.namespace or "", target.name or "")


def _target(row: Row[Any]) -> Target:
    return Target(cluster=row.cluster, namespace=row.namespace, name=row.name)


def _to_deployment(row: Row[Any]) -> Deployment:
    facts = {name: getattr(row, name) for name in Deployment.model_fields if name != "created_by"}
    # Readers of a deployment need not know what its environment holds.
    facts["spec"] = row.spec | {"env": dict.fromkeys(row.spec.get("env") or {}, "…")}
    return Deployment.model_validate(facts | {"created_by": row.actor_label})
