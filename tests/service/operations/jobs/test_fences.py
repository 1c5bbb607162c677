"""Fences: a worker that was paused past its lease writes nothing, as another has claimed the job after it."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.testing import capture_logs

from service.access.actions import Step
from service.models.jobs import JobState
from service.operations.calls import Json
from service.operations.jobs.values import LostError
from service.operations.jobs.work import Work
from tests.service.conftest import Rows
from tests.service.operations.jobs.conftest import Accept, Forsake, MakeReplica, Within
from tests.service.operations.jobs.kinds import Held, Made, ended, idle, kind

pytestmark = pytest.mark.asyncio

PATIENCE = timedelta(minutes=1)


async def _act() -> Json:
    return {"applied": True}


async def _in_own_table(_: AsyncConnection) -> None:
    raise AssertionError("it must not come to this")


Write = Callable[[Work, Within], Awaitable[object]]

WRITES: dict[str, Write] = {
    "a note": lambda work, _: work.note("noted", {}, write=_in_own_table),
    "its progress": lambda work, _: work.note(None, {}, progress={"done": 1}),
    "its end": lambda work, _: work.finish(JobState.SUCCEEDED, {}),
    "another table": lambda work, within: within(work.write),
    "a step": lambda work, _: work.step(Step.APPLY_SERVICE, {}, _act, within=PATIENCE),
    "items": lambda work, _: work.add_items(["b"]),
}


@pytest.mark.parametrize("what", WRITES)
@pytest.mark.parametrize("by", ["another replica", "its own"])
async def test_who_has_lost_a_job_writes_nothing_more(  # noqa: PLR0917 - fixtures
    replica: MakeReplica, accept: Accept, forsake: Forsake, within: Within, rows: Rows, what: str, by: str
) -> None:
    paused, taking = Made(Held()), Made(Held())
    first, second = replica(kind(paused), is_working=False), replica(kind(taking), is_working=False)
    job_id = (await accept(first)).job.id
    await first.runner.claim()
    await paused.begun.wait()
    await forsake(job_id)
    stale = paused.runs[0]
    await (second if by == "another replica" else first).runner.claim()
    before, recorded = await second.store.get(job_id), await rows()

    with pytest.raises(LostError):
        await WRITES[what](stale, within)

    assert before
    assert before.epoch == 2
    assert await second.store.get(job_id) == before
    assert await rows() == recorded


async def test_a_step_that_was_at_work_when_the_job_was_lost_is_completed_by_who_took_it_over(
    replica: MakeReplica, accept: Accept, forsake: Forsake, rows: Rows
) -> None:
    held, done = Held(), Made()

    async def step(work: Work, act: Callable[[], Awaitable[Json]]) -> Json:
        return await work.step(Step.APPLY_SERVICE, {}, act, within=PATIENCE)

    lost: list[LostError] = []

    async def run_slowly(work: Work) -> Json:
        async def act() -> Json:
            return await held(work)

        try:
            return await step(work, act)
        except LostError as error:
            lost.append(error)
            raise

    async def run(work: Work) -> Json:
        return await step(work, _act)

    done.does = run
    slow = Made(run_slowly)
    first, second = replica(kind(slow), is_working=False), replica(kind(done), is_working=False)
    job_id = (await accept(first)).job.id
    await first.runner.claim()
    await held.begun.wait()
    await forsake(job_id)
    await second.runner.claim()
    assert (await ended(second, job_id)).state == JobState.SUCCEEDED
    held.may_end.set()
    await idle(first)
    assert lost
    [_, child] = await rows()
    assert (child["status"], child["result"]) == ("succeeded", {"applied": True})


async def test_a_job_that_its_worker_has_ended_is_not_told_of_as_lost(replica: MakeReplica, accept: Accept) -> None:
    leaving = Held()

    async def run(work: Work) -> Json:
        await work.finish(JobState.SUCCEEDED, {})
        return await leaving(work)

    jobs = replica(kind(run), is_working=False)
    await accept(jobs)
    await jobs.runner.claim()
    await leaving.begun.wait()
    with capture_logs() as lines:
        await jobs.runner.renew()
    assert lines == []


async def test_a_job_that_its_worker_finds_lost_is_told_of_once(
    replica: MakeReplica, accept: Accept, forsake: Forsake
) -> None:
    writing = Held()

    async def run(work: Work) -> Json:
        await writing(work)
        raise LostError(work.job.id)

    first, second = replica(kind(run), is_working=False), replica(kind(Held()), is_working=False)
    job_id = (await accept(first)).job.id
    await first.runner.claim()
    await writing.begun.wait()
    await forsake(job_id)
    await second.runner.claim()
    with capture_logs() as lines:
        writing.may_end.set()
        await first.runner.renew()  # which asks before the worker goes on, and is answered after
    assert [(line["event"], line["epoch"]) for line in lines] == [("job_lost", 1)]


async def test_who_has_lost_a_job_stops_and_gives_back_nothing(
    replica: MakeReplica, accept: Accept, forsake: Forsake
) -> None:
    paused, leaving, taking = Held(), Held(), Held()
    first, second = (replica(kind(held), is_working=False) for held in (paused, leaving))
    third = replica(kind(taking), is_working=False)
    job_id = (await accept(first)).job.id
    for one in (first, second, third):
        await one.runner.claim()
        await forsake(job_id)
    for held in (paused, leaving, taking):
        await held.begun.wait()
    await third.runner.renew()
    taken = await third.store.get(job_id)

    with capture_logs() as lines:
        for _ in range(2):
            await first.runner.renew()
    await idle(first)
    await second.runner.close()

    assert [(line["event"], line["job"], line["epoch"]) for line in lines] == [("job_lost", job_id, 1)]
    assert await third.store.get(job_id) == taken
    await first.runner.claim()
    assert [one.runner.held for one in (first, second)] == [[], []]
    assert [job.epoch for job in third.runner.held] == [3]


async def test_replicas_claim_each_job_once(replica: MakeReplica, accept: Accept) -> None:
    made = Made(Held())
    serving = replica(kind(made), is_working=False)
    replicas = [replica(kind(made, concurrency=5), is_working=False) for _ in range(3)]
    ids = {(await accept(serving, key=str(number))).job.id for number in range(12)}
    for one in replicas * 2:
        await one.runner.claim()
    await made.begun.wait()
    found = [job for one in replicas for job in one.runner.held]
    assert {job.id for job in found} == ids
    assert len(found) == len(ids)
    assert max(len(one.runner.held) for one in replicas) == 5
