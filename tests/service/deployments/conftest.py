"""Replicas that accept deployments and begin none: what becomes of their jobs is what a test does with them."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.access.actions import Action
from service.base.clock import new_id
from service.base.db import Database
from service.base.tables import jobs as job_rows
from service.clusters.clusters import Clusters
from service.deployments.acceptance import KIND
from service.deployments.record import Place
from service.deployments.rollouts import Rollouts
from service.deployments.store import DeploymentStore
from service.models.deployments import DeploymentKind
from service.operations.calls import Json
from service.operations.jobs.claims import Claims
from service.operations.jobs.items import Items
from service.operations.jobs.jobs import Jobs
from service.operations.jobs.kinds import Kind
from service.operations.jobs.values import Accepted, Job
from service.operations.jobs.work import Work
from service.operations.ledger import Ledger
from service.registry.registries import Registries
from tests.service.calls import intent, make_call

LEASE = timedelta(seconds=5)
PLACE = Place("demo", "default", "myapp")


class Replica:
    def __init__(self, database: Database, ledger: Ledger) -> None:
        owner = new_id()
        self.jobs = Jobs(database=database, ledger=ledger, owner=owner)
        self.store = DeploymentStore(database=database)
        self.rollouts = Rollouts(
            database=database,
            ledger=ledger,
            clusters=Clusters(settings=(), registries=Registries(clients={}, default=None), own_namespace="wharfinger"),
            store=self.store,
            jobs=self.jobs,
            lease=LEASE,
            keep=timedelta(days=1),
        )
        self.jobs.runner.is_working = True
        self._kind = Kind(KIND, self.rollouts.run, lease=LEASE)
        self._claims = Claims(database=database, owner=owner, kinds={KIND: self._kind})
        self._items = Items(database=database, store=self.jobs.store)
        self._database = database
        self._ledger = ledger

    async def accept(self) -> Accepted:
        operation = await self._ledger.open(make_call(), intent(Action.DEPLOYMENT_CREATE))
        async with self._database.write() as connection:
            return await self.rollouts.acceptance.accept(connection, PLACE, facts_of(operation))

    async def claim(self) -> Sequence[Job]:
        return await self._claims.claim(self._kind, 10)

    async def forsake(self, job_id: str) -> None:
        """Let the lease of a job run out."""
        over = update(job_rows).where(job_rows.c.id == job_id)
        async with self._database.write() as connection:
            await connection.execute(over.values(lease_until=self._database.clock(timedelta(seconds=-1))))

    async def note(self, job: Job, event: str, **values: object) -> None:
        """Write to a deployment as a rollout does."""

        async def write(connection: AsyncConnection) -> None:
            await self.store.write(connection, job.id, event, {}, **values)

        await self.work(job).note(None, {}, write=write)

    def work(self, job: Job) -> Work:
        longest = self.jobs.kinds[job.kind].longest
        return Work(job, longest=longest, store=self.jobs.store, items=self._items, ledger=self._ledger)

    async def cancel(self, deployment_id: str) -> bool:
        async with self._database.write() as connection:
            return await self.rollouts.cancel(connection, deployment_id)

    async def status(self, deployment_id: str) -> str:
        record = await self.store.get(deployment_id)
        assert record is not None
        return record.status

    async def told(self, deployment_id: str) -> Sequence[str]:
        return [event.type for event in await self.store.events(deployment_id, 0)]

    async def live(self) -> Sequence[str]:
        """The ids of the jobs that are not over."""
        rows = await self._database.fetch(select(job_rows.c.id).where(job_rows.c.finished_at.is_(None)))
        return [row.id for row in rows]


MakeReplica = Callable[[], Replica]


@pytest.fixture
def replica(database: Database, ledger: Ledger) -> MakeReplica:
    return lambda: Replica(database, ledger)


def facts_of(operation: str) -> Json:
    return {
        "id": operation,
        "kind": DeploymentKind.DEPLOY,
        "spec": {},
        "image": "myapp:1",
        "image_uri": "registry.test/myapp@sha256:0",
        "digest": "sha256:0",
        "checks": {},
        "actor": "caller-1",
        "actor_label": "ci",
        "request_id": "request-1",
    }
