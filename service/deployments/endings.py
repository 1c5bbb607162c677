"""The end of a rollout; where it failed and was to be rolled back, that is accepted in the same commit."""

from sqlalchemy.ext.asyncio import AsyncConnection

from service.access.actions import Action
from service.base.clock import utcnow
from service.base.db import Database
from service.base.telemetry import ROLLOUTS
from service.deployments.record import DeploymentRecord
from service.deployments.store import DeploymentStore
from service.models.deployments import DeploymentKind, DeploymentStatus
from service.operations.calls import Json
from service.operations.ledger import Ledger


class Endings:
    def __init__(self, *, database: Database, ledger: Ledger, store: DeploymentStore) -> None:
        self._database = database
        self._ledger = ledger
        self._store = store

    async def end(self, record: DeploymentRecord, status: DeploymentStatus, values: Json) -> str | None:
        """Gives the id of the rollback that was accepted with it.

        :raises LostError: it is over, or not ours any more.
        """
        ended = {"status": status, "finished_at": utcnow(), "cluster_away_since": None} | values
        goal = await self._goal(record) if status is DeploymentStatus.FAILED else None
        async with self._database.write() as connection:
            rollback = await self._add_rollback(connection, record, goal) if goal else None
            event = values | ({"rolled_back_by": rollback} if rollback else {})
            await self._store.keep(connection, record.id, status, event, **ended, rolled_back_by=rollback)
            if rollback and goal:
                await self._store.accept(connection, record.place, _rollback_facts(record, goal, rollback))
        self._store.tell(record.id)
        ROLLOUTS.labels(status).inc()
        return rollback

    async def _goal(self, failed: DeploymentRecord) -> DeploymentRecord | None:
        """What it is to go back to by itself."""
        if not failed.is_to_be_rolled_back:
            return None
        last = await self._store.last_success(failed.place, failed.generation)
        # Not behind a removal: what somebody took away does not come back by itself.
        return last if last is not None and last.kind is not DeploymentKind.DELETE else None

    async def _add_rollback(self, connection: AsyncConnection, failed: DeploymentRecord, goal: DeploymentRecord) -> str:
        request = {"to": goal.id, "because_of": failed.id}
        return await self._ledger.add_child(connection, failed.parent, Action.DEPLOYMENT_ROLLBACK, request)


def _rollback_facts(failed: DeploymentRecord, goal: DeploymentRecord, rollback: str) -> Json:
    return goal.carried() | {
        "id": rollback,
        "kind": DeploymentKind.ROLLBACK,
        "rollback_to": goal.id,
        "actor": failed.actor,
        "actor_label": failed.actor_label,
        "request_id": failed.request_id,
    }
