"""Deployments on a real database: who may write to one, and who finds out that it is too late."""

import asyncio

import pytest

from service.base.db import Database
from service.deployments.acceptance import KIND
from service.operations.jobs.values import LostError
from tests.service.deployments.conftest import PLACE, MakeReplica

pytestmark = pytest.mark.asyncio


async def test_a_deployment_is_a_job_about_its_target(replica: MakeReplica) -> None:
    one = replica()
    made = (await one.accept()).job
    job = await one.jobs.store.get(made.id)
    assert job is not None
    assert (job.kind, job.key, job.parent.target) == (KIND, str(PLACE), str(PLACE))
    assert await one.told(made.id) == ["accepted"]


async def test_what_a_replica_holds_is_nobody_elses(replica: MakeReplica) -> None:
    holder, other = replica(), replica()
    made = (await holder.accept()).job
    assert await other.claim() == []
    await holder.note(made, "progress", status="progressing")
    assert await holder.told(made.id) == ["accepted", "progress"]


async def test_what_nobody_renews_goes_to_another_and_the_one_who_had_it_writes_no_more(replica: MakeReplica) -> None:
    paused, other = replica(), replica()
    made = (await paused.accept()).job
    await paused.forsake(made.id)
    [taken] = await other.claim()
    assert await replica().claim() == []
    with pytest.raises(LostError):
        await paused.note(made, "progress", status="failed")
    assert await other.status(made.id) == "accepted"
    assert await other.told(made.id) == ["accepted"]
    await other.note(taken, "progressing", status="progressing")
    assert await paused.status(made.id) == "progressing"


async def test_a_newer_one_ends_the_one_before_for_whoever_runs_it(replica: MakeReplica) -> None:
    one = replica()
    older, newer = (await one.accept()).job, await replica().accept()
    assert newer.superseded == older.id
    with pytest.raises(LostError):
        await one.note(older, "progress", status="progressing")
    await one.note(newer.job, "progress", status="progressing")
    assert await one.told(older.id) == ["accepted", "superseded"]
    assert await one.status(older.id) == "superseded"
    assert await replica().claim() == []


async def test_one_that_is_cancelled_is_written_to_no_more(replica: MakeReplica) -> None:
    one = replica()
    made = (await one.accept()).job
    assert await replica().cancel(made.id)
    with pytest.raises(LostError):
        await one.note(made, "progress", status="progressing")
    assert not await one.cancel(made.id)
    assert await one.told(made.id) == ["accepted", "cancelled"]


async def test_who_cancels_the_job_cancels_the_deployment(replica: MakeReplica, database: Database) -> None:
    one = replica()
    made = (await one.accept()).job
    async with database.write() as connection:
        await one.jobs.cancel(connection, made.id)
    assert await one.status(made.id) == "cancelled"
    assert await one.told(made.id) == ["accepted", "cancelled"]


async def test_those_who_accept_for_one_target_at_once_come_one_after_another(replica: MakeReplica) -> None:
    both = (replica(), replica())
    accepted = await asyncio.gather(*(one.accept() for one in both * 6))
    records = [await both[0].store.get(one.job.id) for one in accepted]
    generations = {one.generation: one for one in records if one}
    newest = generations[len(accepted)]
    assert sorted(generations) == list(range(1, len(accepted) + 1))
    assert [one.id for one in generations.values() if not one.status.is_final] == [newest.id]
    assert await both[0].live() == [newest.id]
