"""A rolling upgrade: replicas of the version before run rollouts by leases on `deployments`, and know no jobs."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import insert, or_, select, update

from service.access.actions import Action
from service.base.clock import new_id, utcnow
from service.base.db import Database
from service.base.errors import UnavailableError
from service.base.tables import deployments
from service.deployments.acceptance import KIND
from service.operations.jobs.kinds import Kind
from service.operations.jobs.work import Work
from service.operations.ledger import Ledger
from tests.service.calls import intent, make_call
from tests.service.deployments.conftest import LEASE, PLACE, MakeReplica, facts_of

pytestmark = pytest.mark.asyncio
HELD, RUN_OUT = timedelta(seconds=4), timedelta(seconds=-1)
_WITHIN = 10


class Before:
    """What a replica of the version before does to the table."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self.owner = new_id()
        self._database = database
        self._ledger = ledger

    async def accept(self, lease: timedelta | None) -> str:
        operation = await self._ledger.open(make_call(), intent(Action.DEPLOYMENT_CREATE))
        where = {"cluster": PLACE.cluster, "namespace": PLACE.namespace, "name": PLACE.name, "generation": 1}
        state = {"status": "accepted", "urls": [], "accepted_at": utcnow(), "lease_owner": self.owner}
        until = None if lease is None else self._database.clock(lease)
        async with self._database.write() as connection:
            row = facts_of(operation) | where | state | {"lease_until": until}
            await connection.execute(insert(deployments).values(row))
        return operation

    async def claim(self) -> Sequence[str]:
        c = deployments.c
        free = (c.finished_at.is_(None), or_(c.lease_until.is_(None), c.lease_until < self._database.clock()))
        taken = {"lease_owner": self.owner, "lease_until": self._database.clock(LEASE)}
        async with self._database.write() as connection:
            claim = update(deployments).where(*free).values(taken).returning(c.id)
            return list((await connection.execute(claim)).scalars())

    async def supersede(self, deployment_id: str, *, ago: timedelta = timedelta(0)) -> None:
        over = {"status": "superseded", "finished_at": utcnow() - ago}
        async with self._database.write() as connection:
            await connection.execute(update(deployments).where(deployments.c.id == deployment_id).values(over))


@pytest.fixture
def before(database: Database, ledger: Ledger) -> Before:
    return Before(database, ledger)


@pytest.mark.parametrize("lease", [None, RUN_OUT])
async def test_what_it_left_unfinished_goes_on_as_a_job(
    replica: MakeReplica, before: Before, lease: timedelta | None
) -> None:
    left = await before.accept(lease)
    one, other = replica(), replica()
    begun: list[str] = []
    for each in (one, other):
        each.jobs.runner.begin = lambda job: begun.append(job.id)  # type: ignore[method-assign]
    await asyncio.gather(one.rollouts.adopt(), other.rollouts.adopt())
    await one.rollouts.adopt()
    assert begun == [left]
    assert await one.live() == [left]
    job = await one.jobs.store.get(left)
    assert job is not None
    assert (job.key, job.actor, job.request_id) == (str(PLACE), "caller-1", "request-1")
    assert await before.claim() == []


async def test_what_it_is_at_work_on_is_left_to_it(replica: MakeReplica, before: Before) -> None:
    await before.accept(HELD)
    one = replica()
    await one.rollouts.adopt()
    assert await one.live() == []


async def test_it_leaves_alone_what_has_a_job(replica: MakeReplica, before: Before) -> None:
    one = replica()
    made = (await one.accept()).job
    assert await before.claim() == []
    await one.note(made, "progressing", status="progressing")


async def test_it_goes_on_with_what_nobody_keeps_from_it_any_more(
    replica: MakeReplica, before: Before, database: Database
) -> None:
    one = replica()
    made = (await one.accept()).job
    async with database.write() as connection:
        await connection.execute(update(deployments).values(lease_until=database.clock(LEASE)))
    await one.rollouts.keep_up()
    soon = select(deployments.c.id).where(deployments.c.lease_until < database.clock(2 * LEASE))
    assert not await database.fetch(soon)
    async with database.write() as connection:  # as long after the upgrade was undone
        await connection.execute(update(deployments).values(lease_until=database.clock(RUN_OUT)))
    assert await before.claim() == [made.id]
    with pytest.raises(UnavailableError):
        await one.rollouts.run(one.work(made))


async def test_a_job_whose_deployment_it_ended_ends_too(replica: MakeReplica, before: Before) -> None:
    one = replica()
    made = (await one.accept()).job
    await before.supersede(made.id)
    await one.rollouts.run(one.work(made))
    job = await one.jobs.store.get(made.id)
    assert job is not None
    assert job.state == "superseded"
    assert await one.live() == []


async def test_one_that_it_ended_is_not_followed_here_until_its_time_is_up(
    replica: MakeReplica, before: Before
) -> None:
    one, followed = replica(), asyncio.Event()

    async def follow(_: Work) -> None:
        followed.set()
        await asyncio.Event().wait()

    one.jobs.register(Kind(KIND, follow, lease=LEASE))
    made = (await one.accept()).job
    one.jobs.runner.begin(made)
    await followed.wait()
    one.jobs.register(Kind(KIND, one.rollouts.run, lease=LEASE))
    await before.supersede(made.id)
    await one.rollouts.keep_up()
    # What has just ended may be ours: who ended it is on the way out.
    assert await one.live() == [made.id]
    await before.supersede(made.id, ago=2 * LEASE)
    await one.rollouts.keep_up()
    async with asyncio.timeout(_WITHIN):
        await asyncio.gather(*one.jobs.runner.tasks, return_exceptions=True)
    job = await one.jobs.store.get(made.id)
    assert job is not None
    assert job.state == "superseded"


async def test_one_that_it_runs_can_be_cancelled_and_superseded_here(replica: MakeReplica, before: Before) -> None:
    theirs = await before.accept(HELD)
    one = replica()
    assert await one.cancel(theirs)
    assert not await one.cancel(theirs)
    assert await one.told(theirs) == ["cancelled"]
