"""What is kept of jobs: the pauses between attempts, leases beyond the clock, logs and items, figures."""

import asyncio
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.base.clock import utcnow
from service.base.db import Database
from service.base.errors import ClusterUnavailableError
from service.base.tables import job_events, job_items
from service.base.tables import jobs as job_rows
from service.models.jobs import JobState
from service.operations.calls import Json
from service.operations.jobs.values import Ending, Item, LostError, Retry
from service.operations.jobs.work import Work
from tests.service.acts import Outage
from tests.service.operations.jobs.conftest import Accept, MakeReplica, Within
from tests.service.operations.jobs.kinds import Held, Made, ended, idle, kind

pytestmark = pytest.mark.asyncio

AWAY = ClusterUnavailableError("It is away.")
SECOND = timedelta(seconds=1)


async def _raise_away(*_: object) -> Json:
    raise AWAY


async def test_each_pause_is_twice_the_one_before_less_a_part_up_to_the_longest(
    replica: MakeReplica, accept: Accept, database: Database
) -> None:
    retry = Retry(first=100 * SECOND, longest=500 * SECOND)
    jobs = replica(kind(_raise_away, retry=retry), is_working=False)
    job_id = (await accept(jobs)).job.id
    for longest in (100, 200, 400, 500, 500):
        before = utcnow()
        await jobs.runner.claim()
        await idle(jobs)
        job = await jobs.store.get(job_id)
        assert job
        assert job.state == JobState.WAITING
        assert before + longest / 2 * SECOND <= job.run_at <= utcnow() + longest * SECOND
        async with database.write() as connection:
            await connection.execute(update(job_rows).values(run_at=database.clock(-SECOND)))


async def test_a_lease_of_a_clock_that_was_set_back_since_does_not_hold(
    replica: MakeReplica, accept: Accept, database: Database, engine: str
) -> None:
    jobs, other = (replica(kind(Made(Held())), is_working=False) for _ in range(2))
    job_id = (await accept(jobs)).job.id
    async with database.write() as connection:
        ahead = {"lease_owner": "a process before", "lease_until": database.clock(timedelta(hours=1))}
        await connection.execute(update(job_rows).values(ahead))
    await jobs.runner.claim()
    await other.runner.claim()
    # PostgreSQL's clock is one for all replicas: such a lease is a kind's own.
    assert [job.id for job in jobs.runner.held] == ([job_id] if engine == "sqlite" else [])
    assert other.runner.held == []


async def test_logs_and_items_of_what_ended_long_ago_are_dropped_and_its_row_stays(
    replica: MakeReplica, accept: Accept, database: Database
) -> None:
    async def run(work: Work) -> Json:
        await work.add_items(["one"])
        return {}

    jobs = replica(kind(run))
    old, new = [(await ended(jobs, (await accept(jobs, key=key)).job.id)).id for key in "ab"]
    async with database.write() as connection:
        long_ago = update(job_rows).where(job_rows.c.id == old).values(finished_at=utcnow() - timedelta(days=91))
        await connection.execute(long_ago)

    await jobs.store.forget(timedelta(days=90))

    async with database.read() as connection:
        for table in (job_events, job_items):
            assert set((await connection.execute(select(table.c.job_id))).scalars()) == {new}
        assert (await connection.execute(select(func.count()).select_from(job_rows))).scalar_one() == 2


async def test_a_kind_that_ends_when_cancelled_does_not_wait_for_its_worker(
    replica: MakeReplica, accept: Accept, within: Within
) -> None:
    made = Made(Held())
    jobs = replica(kind(made, ends_when_cancelled=True))
    job_id = (await accept(jobs)).job.id
    await made.begun.wait()
    states: list[JobState | None] = []

    async def cancel(connection: AsyncConnection) -> None:
        states.append(await jobs.cancel(connection, job_id))

    await within(cancel)
    job = await jobs.store.get(job_id)
    assert job
    assert (states, job.state) == ([JobState.CANCELLED], JobState.CANCELLED)
    with pytest.raises(LostError):
        await made.runs[0].note("late", {})
    jobs.ended(job_id)
    await idle(jobs)


async def test_a_defect_is_an_attempt_like_another_where_its_kind_says_so(replica: MakeReplica, accept: Accept) -> None:
    async def run(work: Work) -> Json:
        if work.job.attempts == 1:
            raise RuntimeError("a defect")
        return {}

    soon = Retry(first=timedelta(milliseconds=1), attempts=2)
    jobs = replica(kind(run, retry=soon, fails_on_defect=False))
    job = await ended(jobs, (await accept(jobs)).job.id)
    assert (job.state, job.attempts) == (JobState.SUCCEEDED, 2)


async def test_an_error_amid_many_items_lets_those_at_work_end_and_begins_no_other(
    replica: MakeReplica, accept: Accept
) -> None:
    at_once = 3
    begun: list[str] = []
    together, failed = asyncio.Barrier(at_once), asyncio.Event()
    told: list[list[str]] = []

    async def act(item: Item, work: Work) -> Json:
        begun.append(item.key)
        if work.job.attempts > 1:
            return {}
        await together.wait()
        if item.key == "1":
            failed.set()
            raise AWAY
        await failed.wait()
        return {}

    async def run(work: Work) -> Json:
        await work.add_items([str(number) for number in range(7)])
        try:
            counts = await work.each_item(lambda item: act(item, work), at_once=at_once)
        finally:
            told.append(sorted(begun))
            begun.clear()
        return counts.to_json()

    jobs = replica(kind(run, retry=Retry(first=timedelta(milliseconds=1))))
    job = await ended(jobs, (await accept(jobs)).job.id)
    assert told == [["0", "1", "2"], ["1", "3", "4", "5", "6"]]
    assert (job.attempts, job.progress) == (2, {"done": 7, "failed": 0, "todo": 0})


async def test_an_end_is_counted_once_it_is_committed(replica: MakeReplica, accept: Accept, within: Within) -> None:
    def many() -> float:
        labels = {"kind": "counted", "outcome": "superseded"}
        return REGISTRY.get_sample_value("wharfinger_jobs_ended_total", labels) or 0

    jobs = replica(kind(Held(), "counted"), is_working=False)
    job_id = (await accept(jobs, kind="counted")).job.id
    before = many()

    async def end(connection: AsyncConnection) -> None:
        assert await jobs.end(connection, job_id, Ending(JobState.SUPERSEDED, {}))

    async def end_in_vain(connection: AsyncConnection) -> None:
        await end(connection)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await within(end_in_vain)
    assert many() == before
    await within(end)
    assert many() == before + 1


async def test_a_database_that_goes_away_amid_items_has_those_at_work_done_again_by_the_same_claim(
    replica: MakeReplica, accept: Accept, database: Database
) -> None:
    at_once = 3
    outage = Outage(database)
    together = asyncio.Barrier(at_once)
    begun: list[str] = []
    told: list[list[str]] = []

    async def act(item: Item) -> Json:
        begun.append(item.key)
        if not told:
            await together.wait()
            await outage.begin()
        return {}

    async def run(work: Work) -> Json:
        await work.add_items([str(number) for number in range(5)])
        try:
            counts = await work.each_item(act, at_once=at_once)
        finally:
            told.append(sorted(begun))
            begun.clear()
            outage.end()
        return counts.to_json()

    jobs = replica(kind(run))
    job = await ended(jobs, (await accept(jobs)).job.id)
    assert told == [["0", "1", "2"], ["0", "1", "2", "3", "4"]]
    assert (job.epoch, job.attempts, job.progress) == (1, 1, {"done": 5, "failed": 0, "todo": 0})
