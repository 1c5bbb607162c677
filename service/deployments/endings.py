"""The end of a rollout; where it failed and was to be rolled back, that is accepted in the same commit."""

from sqlalchemy.ext.asyncio import AsyncConnection

from service.access.actions import Action
from service.base.clock import utcnow
from service.base.telemetry import ROLLOUTS
from service.deployments.acceptance import Acceptance
from service.deployments.record import DeploymentRecord
from service.deployments.rollbacks import facts_of_rollback, goal_by_itself
from service.deployments.store import DeploymentStore
from service.models.deployments import DeploymentStatus, Reason
from service.models.jobs import JobState
from service.operations.calls import Json
from service.operations.jobs.values import Accepted
from service.operations.jobs.work import Work
from service.operations.ledger import Ledger


class Endings:
    def __init__(self, *, ledger: Ledger, store: DeploymentStore, acceptance: Acceptance) -> None:
        self._ledger = ledger
        self._store = store
        self._acceptance = acceptance

    async def end(
        self,
        work: Work,
        record: DeploymentRecord,
        status: DeploymentStatus,
        *,
        reason: Reason | None = None,
        **values: object,
    ) -> None:
        """:raises LostError: it is over, or not ours any more."""
        goal = await goal_by_itself(self._store, record) if status is DeploymentStatus.FAILED else None
        rollback: Accepted | None = None
        data: Json = values | ({"reason": reason.model_dump(mode="json")} if reason else {})

        async def write(connection: AsyncConnection) -> None:
            nonlocal rollback
            by = await self._add_rollback(connection, record, goal) if goal else None
            ended = data | {"status": status, "finished_at": utcnow(), "cluster_away_since": None, "rolled_back_by": by}
            await self._store.write(
                connection, record.id, status, data | ({"rolled_back_by": by} if by else {}), **ended
            )
            if goal and by:
                rollback = await self._acceptance.accept(connection, record.place, _facts_of_rollback(record, goal, by))

        error = {"code": reason.code, "detail": reason.message} if reason else None
        await work.finish(JobState(status), data, error=error, write=write)
        ROLLOUTS.labels(status).inc()
        if rollback is not None:
            self._acceptance.begin(rollback)

    async def _add_rollback(self, connection: AsyncConnection, failed: DeploymentRecord, goal: DeploymentRecord) -> str:
        request = {"to": goal.id, "because_of": failed.id}
        return await self._ledger.add_child(connection, failed.parent, Action.DEPLOYMENT_ROLLBACK, request)


def _facts_of_rollback(failed: DeploymentRecord, goal: DeploymentRecord, rollback: str) -> Json:
    who = {"actor": failed.actor, "actor_label": failed.actor_label, "request_id": failed.request_id}
    return facts_of_rollback(goal) | who | {"id": rollback}
