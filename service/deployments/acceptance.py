"""Accepting a deployment: its job and its row, in the commit of the operation that asks for it."""

from sqlalchemy.ext.asyncio import AsyncConnection

from service.base.telemetry import ROLLOUTS
from service.deployments.handover import Handover
from service.deployments.record import Place
from service.deployments.store import DeploymentStore, Guard
from service.models.deployments import DeploymentStatus
from service.operations.calls import Json, Parent
from service.operations.jobs.jobs import Jobs
from service.operations.jobs.values import Accepted

KIND = "rollout"
"""Of the jobs that bring deployments to their end; about the same are those of one target."""


class Acceptance:
    def __init__(self, *, jobs: Jobs, store: DeploymentStore, handover: Handover) -> None:
        self._jobs = jobs
        self._store = store
        self._handover = handover

    async def accept(
        self, connection: AsyncConnection, place: Place, facts: Json, *, after: int = 0, guard: Guard | None = None
    ) -> Accepted:
        """Insert a deployment of the operation `facts["id"]`, and end the one before it; after the commit, `begin` it.

        :param after: the generation that it comes after, should that be more than was counted.
        """
        parent = Parent(facts["id"], facts["actor"], facts["actor_label"], facts["request_id"], str(place))
        # The job first: by its key, those who accept for the same target come one after another.
        accepted = await self._jobs.accept(connection, KIND, str(place), {}, parent=parent, supersede=True)
        await self._store.insert(connection, place, facts | self._handover.held(), after=after, guard=guard)
        return accepted

    def begin(self, accepted: Accepted) -> None:
        """Have a deployment rolled out that was accepted, once it is committed."""
        if accepted.superseded is not None:
            ROLLOUTS.labels(DeploymentStatus.SUPERSEDED).inc()
        self._jobs.begin(accepted)
