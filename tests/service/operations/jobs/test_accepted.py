"""Accepted: in the commit of the operation that asks for it, once at a time, and claimed by who accepts it."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from service.base.clock import utcnow
from service.base.db import Database
from service.models.audit import Status
from service.models.jobs import JobState
from service.operations.jobs.values import Accepted, Ending, Job, JobRunningError
from tests.service.conftest import Rows
from tests.service.operations.jobs.conftest import Accept, MakeReplica
from tests.service.operations.jobs.kinds import Held, Made, ended, kind, log_of

pytestmark = pytest.mark.asyncio


async def test_a_job_is_run_where_it_is_accepted_and_has_the_id_of_its_operation(
    replica: MakeReplica, accept: Accept, rows: Rows
) -> None:
    made = Made()
    jobs = replica(kind(made))
    accepted = await accept(jobs)
    job = await ended(jobs, accepted.job.id)
    assert accepted.is_ours
    assert (job.state, job.epoch, job.attempts, job.payload, job.target) == ("succeeded", 1, 1, {"of": "a"}, "local/a")
    assert await log_of(jobs, job.id) == [("accepted", {}), ("succeeded", {"done": True})]
    assert [row["id"] for row in await rows()] == [job.id]
    assert len(made.runs) == 1


async def test_what_is_about_the_same_is_done_once_at_a_time(replica: MakeReplica, accept: Accept, rows: Rows) -> None:
    held = Held()
    jobs = replica(kind(held), kind(Made(), "other"))
    first = await accept(jobs)
    with pytest.raises(JobRunningError):
        await accept(jobs)
    await accept(jobs, "b")
    await accept(jobs, kind="other")
    held.may_end.set()
    await ended(jobs, first.job.id)
    await accept(jobs)
    assert [row["status"] for row in await rows()].count(Status.FAILED) == 1


async def test_of_many_that_are_accepted_together_one_is_done(replica: MakeReplica, accept: Accept) -> None:
    held = Held()
    replicas = [replica(kind(held)) for _ in range(3)]
    asked = (accept(replicas[number % 3]) for number in range(9))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert Counter(map(type, answers)) == {Accepted: 1, JobRunningError: 8}


async def test_an_operation_has_one_job_whoever_gives_it_another(
    replica: MakeReplica, accept: Accept, database: Database
) -> None:
    jobs = replica(kind(Made()), is_working=False)
    job = (await accept(jobs)).job
    with pytest.raises(JobRunningError):
        async with database.write() as connection:
            await jobs.accept(connection, "made", "b", {}, parent=job.parent)
    assert await log_of(jobs, job.id) == [("accepted", {})]


async def test_a_job_supersedes_the_one_that_is_about_the_same(replica: MakeReplica, accept: Accept) -> None:
    told: list[tuple[str, Ending]] = []

    async def on_end(_: AsyncConnection, job: Job, ending: Ending) -> None:
        told.append((job.id, ending))

    jobs = replica(kind(Held(), on_end=on_end))
    first, second = [await accept(jobs, supersede=True) for _ in range(2)]
    before = await ended(jobs, first.job.id)
    assert (second.superseded, before.state) == (first.job.id, JobState.SUPERSEDED)
    assert second.job.started_at
    assert second.job.created_at <= second.job.started_at
    assert told == [(first.job.id, Ending(JobState.SUPERSEDED, {"by": second.job.id}))]
    assert (await log_of(jobs, first.job.id))[-1] == ("superseded", {"by": second.job.id})


async def test_what_supersedes_each_other_at_the_same_time_leaves_one(replica: MakeReplica, accept: Accept) -> None:
    replicas = [replica(kind(Held())) for _ in range(2)]
    accepted = await asyncio.gather(*(accept(replicas[number % 2], supersede=True) for number in range(4)))
    found = [await replicas[0].store.get(one.job.id) for one in accepted]
    states = [one.state for one in found if one]
    assert sorted(states) == sorted([JobState.RUNNING, *[JobState.SUPERSEDED] * 3])


async def test_a_job_of_later_waits_for_its_time(replica: MakeReplica, accept: Accept) -> None:
    made = Made()
    jobs = replica(kind(made))
    accepted = await accept(jobs, run_at=utcnow().replace(year=2999))
    await jobs.runner.claim()
    assert accepted.job.state == JobState.WAITING
    assert made.runs == []


async def test_what_is_due_for_the_longest_time_is_claimed_first(replica: MakeReplica, accept: Accept) -> None:
    now = utcnow()
    jobs = replica(kind(Held(), concurrency=2), is_working=False)
    for key, ago in {"a": 1, "b": 3, "c": 2}.items():
        await accept(jobs, key, run_at=now - timedelta(minutes=ago))
    await jobs.runner.claim()
    assert sorted(job.key for job in jobs.runner.held) == ["b", "c"]


async def test_a_job_that_is_accepted_where_nobody_works_is_run_elsewhere(replica: MakeReplica, accept: Accept) -> None:
    made = Made()
    serving, working = (replica(kind(made), is_working=False) for _ in range(2))
    accepted = await accept(serving)
    assert not accepted.is_ours
    await working.runner.claim()
    assert (await ended(working, accepted.job.id)).state == JobState.SUCCEEDED
    assert len(made.runs) == 1
