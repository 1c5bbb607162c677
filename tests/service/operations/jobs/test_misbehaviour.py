"""Kinds that misbehave, and clocks: a job is never begun for ever in silence, nor written by who has given it back."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.base.clock import utcnow
from service.base.db import Database
from service.base.errors import ClusterUnavailableError
from service.base.tables import jobs as job_rows
from service.models.jobs import JobState
from service.operations.calls import Json
from service.operations.jobs.jobs import Jobs
from service.operations.jobs.values import LostError, Retry
from service.operations.jobs.work import Work
from tests.marks import only_sqlite
from tests.service.operations.jobs.conftest import Accept, MakeReplica, Within
from tests.service.operations.jobs.kinds import Held, Made, Run, ended, idle, kind, log_of

pytestmark = pytest.mark.asyncio

AWAY = ClusterUnavailableError("It is away.")
LATER = Retry(first=timedelta(minutes=1), longest=timedelta(minutes=2))


async def _awaiting_what_was_cancelled(_: Work) -> Json:
    other = asyncio.create_task(asyncio.Event().wait())
    other.cancel()
    await other
    return {}


async def _with_a_result_that_is_no_json(_: Work) -> Json:
    return {"at": utcnow()}


@pytest.mark.parametrize("run", [_awaiting_what_was_cancelled, _with_a_result_that_is_no_json])
async def test_a_defect_of_a_kind_is_the_end_of_its_job(replica: MakeReplica, accept: Accept, run: Run) -> None:
    jobs = replica(kind(Made(run)), is_working=False)
    job_id = (await accept(jobs)).job.id
    await jobs.runner.claim()
    await idle(jobs)
    job = await jobs.store.get(job_id)
    assert job
    assert (job.state, (job.error or {}).get("code")) == (JobState.FAILED, "internal_error")


async def test_who_goes_on_though_the_job_is_lost_ends_nothing(
    replica: MakeReplica, accept: Accept, database: Database
) -> None:
    refused: list[LostError] = []

    async def run(work: Work) -> Json:
        await _reclaim(database, work)
        for _ in range(3):
            try:
                await work.note("noted", {})
            except LostError as error:
                refused.append(error)
        return {"done": True}

    jobs = replica(kind(Made(run)), is_working=False)
    job_id = (await accept(jobs)).job.id
    await jobs.runner.claim()
    await idle(jobs)
    job = await jobs.store.get(job_id)
    assert job
    assert (job.state, len(refused)) == (JobState.RUNNING, 3)
    assert [event for event, _ in await log_of(jobs, job_id)] == ["accepted"]


async def test_who_has_given_a_job_back_writes_nothing_more_and_keeps_no_lease_of_it(
    replica: MakeReplica, accept: Accept, database: Database
) -> None:
    made = Made(Held())

    async def give_back(_: Work) -> Json:
        raise AWAY

    made.does = give_back
    jobs = replica(kind(made, retry=LATER), is_working=False)
    job_id = (await accept(jobs)).job.id
    await jobs.runner.claim()
    held = jobs.runner.held
    await idle(jobs)
    given_back = await _lease(database, job_id)
    await jobs._claims.renew(held)
    await jobs._claims.release(held)
    with pytest.raises(LostError):
        await made.runs[0].note("noted", {})
    job = await jobs.store.get(job_id)
    assert job
    assert (job.state, job.attempts, job.run_at > utcnow()) == (JobState.WAITING, 1, True)
    assert await _lease(database, job_id) == given_back is None


async def test_who_is_asked_twice_to_end_a_job_is_not_cut_off_as_it_does(
    replica: MakeReplica, accept: Accept, within: Within
) -> None:
    ending, may_end = asyncio.Event(), asyncio.Event()

    async def run(work: Work) -> Json:
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await may_end.wait()
            await work.note("tidied", {})
        return {}

    made = Made(run)
    jobs = replica(kind(made), is_working=False)
    job_id = (await accept(jobs)).job.id
    await jobs.runner.claim()
    await made.begun.wait()
    await _cancel(jobs, within, job_id)
    await jobs.runner.renew()
    await ending.wait()
    await _cancel(jobs, within, job_id)
    await jobs.runner.renew()
    may_end.set()
    await idle(jobs)
    assert [event for event, _ in await log_of(jobs, job_id)][-2:] == ["tidied", "cancelled"]


@only_sqlite
async def test_what_was_begun_and_left_is_begun_again_though_the_clock_was_set_back(
    replica: MakeReplica, accept: Accept, database: Database
) -> None:
    left, done = Made(Held()), Made()
    first, second = replica(kind(left)), replica(kind(done), is_working=False)
    job_id = (await accept(first)).job.id
    await left.begun.wait()
    await first.runner.close()
    async with database.write() as connection:
        # As it looks to a process whose clock is an hour behind that of the one before.
        ahead = {"run_at": utcnow() + timedelta(hours=1), "created_at": utcnow() + timedelta(minutes=59)}
        await connection.execute(update(job_rows).where(job_rows.c.id == job_id).values(ahead))
    await second.runner.claim()
    assert (await ended(second, job_id)).state == JobState.SUCCEEDED


async def _cancel(jobs: Jobs, within: Within, job_id: str) -> None:
    async def write(connection: AsyncConnection) -> None:
        await jobs.cancel(connection, job_id)

    await within(write)


async def _reclaim(database: Database, work: Work) -> None:
    """As another does, once the lease is over."""
    mine = job_rows.c.id == work.job.id
    async with database.write() as connection:
        await connection.execute(update(job_rows).where(mine).values(epoch=work.job.epoch + 1))


async def _lease(database: Database, job_id: str) -> object:
    async with database.read() as connection:
        query = job_rows.select().with_only_columns(job_rows.c.lease_until).where(job_rows.c.id == job_id)
        return (await connection.execute(query)).scalar_one()
