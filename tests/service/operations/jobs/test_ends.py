"""How a job ends, or is tried again: by its run, by who asks it to, by a replica that goes away."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.testing import capture_logs

from service.access.actions import Step
from service.base.clock import utcnow
from service.base.db import Database
from service.base.errors import ClusterUnavailableError, ConflictError, DatabaseError, FieldError, InvalidError
from service.base.settings import Settings
from service.base.tables import job_items
from service.base.tables import jobs as job_rows
from service.models.jobs import JobState
from service.operations.calls import Json
from service.operations.jobs.jobs import Jobs
from service.operations.jobs.store import CLOSED
from service.operations.jobs.values import Item, Retry
from service.operations.jobs.work import Work
from tests.service.acts import Outage
from tests.service.conftest import Rows
from tests.service.operations.jobs.conftest import Accept, Forsake, MakeReplica, Within
from tests.service.operations.jobs.kinds import Held, Made, ended, idle, kind, log_of

pytestmark = pytest.mark.asyncio

PATIENCE = timedelta(minutes=1)
AWAY = ClusterUnavailableError("It is away.")
SOON = Retry(first=timedelta(milliseconds=1), longest=timedelta(milliseconds=2), attempts=3)


def _raising(errors: Sequence[Exception]) -> Made:
    left = list(errors)

    async def run(_: Work) -> Json:
        if left:
            raise left.pop(0)
        return {}

    return Made(run)


async def _cancel(jobs: Jobs, within: Within, job_id: str) -> JobState | None:
    state: JobState | None = None

    async def write(connection: AsyncConnection) -> None:
        nonlocal state
        state = await jobs.cancel(connection, job_id)

    await within(write)
    jobs.ended(job_id)
    return state


async def test_what_may_pass_is_tried_again_after_a_pause(replica: MakeReplica, accept: Accept) -> None:
    made = _raising([AWAY, AWAY])
    jobs = replica(kind(made, retry=SOON))
    job = await ended(jobs, (await accept(jobs)).job.id)
    assert (job.state, job.attempts, job.epoch) == (JobState.SUCCEEDED, 3, 3)
    assert [event for event, _ in await log_of(jobs, job.id)] == ["accepted", "postponed", "postponed", "succeeded"]


@pytest.mark.parametrize(
    ("errors", "code", "attempts"),
    [
        pytest.param([AWAY] * 3, "cluster_unavailable", 3, id="what does not pass"),
        pytest.param([ConflictError("No.", code="object_gone")], "object_gone", 1, id="what can't pass"),
        pytest.param([RuntimeError("a defect")], "internal_error", 1, id="a defect"),
    ],
)
async def test_a_job_fails_for_all_to_see(
    replica: MakeReplica, accept: Accept, errors: Sequence[Exception], code: str, attempts: int
) -> None:
    jobs = replica(kind(_raising(errors), retry=SOON))
    with capture_logs() as lines:
        job = await ended(jobs, (await accept(jobs)).job.id)
    assert (job.state, job.attempts, (job.error or {})["code"]) == (JobState.FAILED, attempts, code)
    assert [(line["job"], line["state"], line["code"]) for line in lines if line["event"] == "job_ended"] == [
        (job.id, "failed", code)
    ]
    assert (await log_of(jobs, job.id))[-1][1]["code"] == code


async def test_a_job_whose_workers_die_of_it_is_given_up(
    replica: MakeReplica, accept: Accept, forsake: Forsake
) -> None:
    jobs = replica(kind(Made(Held()), retry=Retry(attempts=2)), is_working=False)
    job_id = (await accept(jobs)).job.id
    for _ in range(3):
        await jobs.runner.claim()
        await forsake(job_id)
    job = await ended(jobs, job_id)
    assert (job.state, (job.error or {})["code"]) == (JobState.FAILED, "job_given_up")


async def test_a_run_that_never_ends_is_stopped_once_its_time_is_up(replica: MakeReplica, accept: Accept) -> None:
    jobs = replica(kind(Made(Held()), longest=timedelta(milliseconds=200)))
    job = await ended(jobs, (await accept(jobs)).job.id)
    assert (job.state, (job.error or {})["code"]) == (JobState.FAILED, "job_overdue")
    await idle(jobs)


async def test_a_job_that_is_claimed_past_its_time_is_not_begun(
    replica: MakeReplica, accept: Accept, database: Database
) -> None:
    made = Made()
    jobs = replica(kind(made), is_working=False)
    job_id = (await accept(jobs)).job.id
    async with database.write() as connection:
        await connection.execute(update(job_rows).values(started_at=utcnow() - timedelta(days=1, seconds=1)))
    await jobs.runner.claim()
    assert ((await ended(jobs, job_id)).error or {})["code"] == "job_overdue"
    assert made.runs == []


async def test_past_its_time_a_job_fails_by_what_it_would_else_be_tried_again_for(
    replica: MakeReplica, accept: Accept
) -> None:
    async def run(work: Work) -> Json:
        work.job = replace(work.job, started_at=utcnow() - timedelta(days=1, seconds=1))
        raise AWAY

    jobs = replica(kind(run, retry=Retry()))
    job = await ended(jobs, (await accept(jobs)).job.id)
    assert (job.state, (job.error or {})["code"]) == (JobState.FAILED, "cluster_unavailable")


async def test_a_job_that_waits_is_cancelled_at_once(replica: MakeReplica, accept: Accept, within: Within) -> None:
    made = Made()
    jobs = replica(kind(made), is_working=False)
    job_id = (await accept(jobs)).job.id
    assert await _cancel(jobs, within, job_id) == JobState.CANCELLED
    assert await _cancel(jobs, within, job_id) is None
    await jobs.runner.claim()
    assert made.runs == []


async def test_who_works_on_a_job_is_asked_to_end_it(replica: MakeReplica, accept: Accept, within: Within) -> None:
    made = Made(Held())
    jobs = replica(kind(made))
    job_id = (await accept(jobs)).job.id
    await made.begun.wait()
    assert await _cancel(jobs, within, job_id) == JobState.RUNNING
    assert (await ended(jobs, job_id)).state == JobState.CANCELLED


async def test_a_job_that_is_asked_to_end_is_not_begun_again_where_the_database_was_away(
    replica: MakeReplica, accept: Accept, within: Within, database: Database
) -> None:
    outage, held = Outage(database, attempts=1), Held()

    async def run(work: Work) -> Json:
        try:
            return await held(work)
        finally:
            held.may_end.set()
            await outage.begin()

    jobs = replica(kind(run), is_working=False)
    job_id = (await accept(jobs)).job.id
    await jobs.runner.claim()
    await held.begun.wait()
    await _cancel(jobs, within, job_id)
    await jobs.runner.renew()
    await idle(jobs)
    assert outage.refused == 1
    assert (await ended(jobs, job_id)).state == JobState.CANCELLED


async def test_a_job_that_waits_to_be_begun_again_is_ended_once_it_is_asked_to(
    replica: MakeReplica, accept: Accept, within: Within
) -> None:
    made = Made(Held())
    first = _raising([DatabaseError("It is away.")])

    async def run(work: Work) -> Json | None:
        await first(work)
        return await made(work)

    jobs = replica(kind(run, retry=Retry(attempts=1)), is_working=False)
    job_id = (await accept(jobs)).job.id
    await jobs.runner.claim()
    await first.begun.wait()
    await _cancel(jobs, within, job_id)
    await jobs.runner.renew()
    await idle(jobs)
    job = await jobs.store.get(job_id)
    assert job
    assert job.state == JobState.CANCELLED


async def test_a_job_is_ended_though_what_it_was_ended_by_first_is_cut_off(
    replica: MakeReplica, accept: Accept, within: Within, database: Database, bare_settings: Settings
) -> None:
    held = Held()

    async def run(work: Work) -> Json:
        await held(work)
        raise AWAY

    jobs = replica(kind(run, retry=Retry(attempts=1)), is_working=False)
    job_id = (await accept(jobs)).job.id
    await jobs.runner.claim()
    await held.begun.wait()
    await _cancel(jobs, within, job_id)
    async with AsyncExitStack() as busy:
        for _ in range(1 if database.is_sqlite else bare_settings.database.pool_size):
            await busy.enter_async_context(database.write())
        held.may_end.set()
        await asyncio.sleep(0)  # its end waits to be written from here on, and a renewal goes before it
        renewal = asyncio.create_task(jobs.runner.renew())
        await (asyncio.sleep(0) if database.is_sqlite else renewal)
    await renewal
    await idle(jobs)
    job = await jobs.store.get(job_id)
    assert job
    assert job.state == JobState.CANCELLED


async def test_who_is_asked_to_end_a_job_is_left_to_tidy_up(
    replica: MakeReplica, accept: Accept, within: Within
) -> None:
    tidying = Held()
    is_tidy = False

    async def run(work: Work) -> Json:
        nonlocal is_tidy
        try:
            return await Held()(work)
        except asyncio.CancelledError:
            await tidying(work)
            is_tidy = True
            raise

    jobs = replica(kind(run))
    job_id = (await accept(jobs)).job.id
    await _cancel(jobs, within, job_id)
    await jobs.runner.renew()
    await tidying.begun.wait()
    for _ in range(3):
        await jobs.runner.renew()
    tidying.may_end.set()
    assert (await ended(jobs, job_id)).state == JobState.CANCELLED
    assert is_tidy


async def test_a_step_at_work_is_completed_and_no_other_is_begun_once_the_job_is_cancelled(
    replica: MakeReplica, accept: Accept, within: Within, rows: Rows
) -> None:
    held = Held()

    async def run(work: Work) -> Json:
        async def act() -> Json:
            return await held(work)

        await work.step(Step.APPLY_DEPLOYMENT, {}, act, within=PATIENCE)
        return await work.step(Step.APPLY_SERVICE, {}, act, within=PATIENCE)

    made = Made(run)
    jobs = replica(kind(made))
    job_id = (await accept(jobs)).job.id
    await held.begun.wait()
    await _cancel(jobs, within, job_id)
    await asyncio.wait_for(made.runs[0].is_cancelled.wait(), 10)
    held.may_end.set()
    assert (await ended(jobs, job_id)).state == JobState.CANCELLED
    assert [row["status"] for row in await rows()] == ["succeeded", "succeeded"]


async def test_a_step_at_work_when_its_job_is_superseded_is_closed_as_unknown(
    replica: MakeReplica, accept: Accept, rows: Rows
) -> None:
    held = Held()

    async def run(work: Work) -> Json:
        async def act() -> Json:
            return await held(work)

        return await work.step(Step.APPLY_SERVICE, {}, act, within=PATIENCE)

    jobs = replica(kind(Made(run)), is_working=False)
    job_id = (await accept(jobs)).job.id
    await jobs.runner.claim()
    await held.begun.wait()
    await accept(jobs, supersede=True)
    [step] = [row for row in await rows() if row["parent_id"] == job_id]
    assert (step["status"], step["settled_by"], step["note"]) == ("unknown", "request", CLOSED)


async def test_what_a_replica_leaves_is_taken_over_at_once_and_is_no_attempt(
    replica: MakeReplica, accept: Accept
) -> None:
    left, done = Made(Held()), Made()
    first, second = replica(kind(left)), replica(kind(done), is_working=False)
    job_id = (await accept(first)).job.id
    await left.begun.wait()
    await first.runner.close()
    await second.runner.claim()
    job = await ended(second, job_id)
    assert (job.state, job.attempts, job.epoch) == (JobState.SUCCEEDED, 1, 2)


async def test_what_a_replica_that_died_had_is_taken_over_and_a_step_that_was_done_is_not_done_again(
    replica: MakeReplica, accept: Accept, forsake: Forsake, rows: Rows
) -> None:
    acts: list[str] = []
    is_done = asyncio.Event()

    async def run(work: Work) -> Json:
        async def act() -> Json:
            acts.append(work.job.id)
            return {"made": "once"}

        made = await work.step(Step.APPLY_SERVICE, {}, act, within=PATIENCE)
        if work.job.epoch == 1:
            is_done.set()
            await asyncio.Event().wait()
        return made

    first, second = (replica(kind(Made(run)), is_working=False) for _ in range(2))
    job_id = (await accept(first)).job.id
    await first.runner.claim()
    await asyncio.wait_for(is_done.wait(), 10)
    assert [row["status"] for row in await rows()] == ["succeeded", "succeeded"]
    await forsake(job_id)
    await second.runner.claim()
    assert (await ended(second, job_id)).state == JobState.SUCCEEDED
    assert acts == [job_id]
    assert (await log_of(second, job_id))[-1] == ("succeeded", {"made": "once"})
    await first.runner.renew()
    await idle(first)


async def test_a_step_that_failed_for_good_fails_again_without_being_done(replica: MakeReplica, accept: Accept) -> None:
    acts = 0

    async def run(work: Work) -> Json:
        async def act() -> Json:
            nonlocal acts
            acts += 1
            raise ConflictError("Somebody deleted it.", code="object_gone")

        for _ in range(2):
            with pytest.raises(ConflictError, match="Somebody deleted it") as caught:
                await work.step(Step.APPLY_SERVICE, {}, act, within=PATIENCE)
        raise caught.value

    jobs = replica(kind(Made(run)))
    job = await ended(jobs, (await accept(jobs)).job.id)
    assert (acts, job.error) == (1, {"code": "object_gone", "detail": "Somebody deleted it."})


async def test_what_is_left_of_many_items_is_done_by_who_goes_on(
    replica: MakeReplica, accept: Accept, rows: Rows
) -> None:
    done: list[str] = []

    async def run(work: Work) -> Json:
        async def one(item: Item) -> Json:
            async def act() -> Json:
                if item.key == "3" and work.job.epoch == 1:
                    raise AWAY
                if item.key == "4":
                    raise ConflictError("No.", code="object_gone")
                done.append(item.key)
                return {"of": item.key}

            return await work.step(Step.APPLY_SERVICE, {}, act, within=PATIENCE, item=item.key)

        await work.add_items([str(number) for number in range(8)])
        counts = await work.each_item(one, at_once=1)
        return counts.to_json()

    jobs = replica(kind(Made(run), retry=SOON))
    job = await ended(jobs, (await accept(jobs)).job.id)
    assert sorted(done) == ["0", "1", "2", "3", "5", "6", "7"]
    assert (await log_of(jobs, job.id))[-1] == ("succeeded", {"done": 7, "failed": 1, "todo": 0})
    assert job.progress == {"done": 7, "failed": 1, "todo": 0}
    steps = [row for row in await rows() if row["parent_id"] == job.id]
    assert sorted((row["item"], row["status"]) for row in steps) == [
        (str(number), "failed" if number == 4 else "succeeded") for number in range(8)
    ]


async def test_an_item_that_failed_keeps_each_mistake_with_its_place(
    replica: MakeReplica, accept: Accept, database: Database
) -> None:
    async def run(work: Work) -> None:
        async def refuse(_: Item) -> Json:
            raise InvalidError("A value is not valid.", errors=[FieldError("spec.replicas", "is negative")])

        await work.add_items(["one"])
        await work.each_item(refuse, at_once=1)

    jobs = replica(kind(Made(run)))
    await ended(jobs, (await accept(jobs)).job.id)
    [item] = await database.fetch(select(job_items.c.result))
    assert item.result["detail"] == "A value is not valid. spec.replicas: is negative"


async def test_a_kind_of_a_newer_version_is_left_to_its_replicas(replica: MakeReplica, accept: Accept) -> None:
    older, newer = replica(kind(Made(), "old")), replica(kind(Made(), "new"), is_working=False)
    job_id = (await accept(newer, kind="new")).job.id
    await older.runner.claim()
    job = await newer.store.get(job_id)
    assert job
    assert job.state == JobState.WAITING
