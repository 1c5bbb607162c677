"""Waking: told at once where the database can tell, and seen a little later where it did not."""

import asyncio

import pytest

from service.base.db import Database
from service.base.telemetry import JOBS_WAITING
from service.operations.jobs.wakeups import Wakeups
from tests.service.operations.jobs.conftest import Accept, MakeReplica, Within
from tests.service.operations.jobs.kinds import Held, Made, ended, kind

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
async def test_a_replica_is_told_of_a_job_that_is_committed(database: Database, within: Within) -> None:
    woken, wakeups = asyncio.Event(), Wakeups(database=database)
    wakeups.listen(woken.set)
    async with asyncio.timeout(20):
        while not woken.is_set():
            # Told of again, as the other may not listen yet.
            await within(wakeups.announce)
            await asyncio.sleep(0)
    await wakeups.close()


async def test_without_being_told_a_job_is_found_by_looking(
    replica: MakeReplica, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def say_nothing(*_: object) -> None: ...

    serving, working = replica(kind(Made()), is_working=False), replica(kind(Made()))
    monkeypatch.setattr(Wakeups, "announce", say_nothing)
    job = await ended(working, (await accept(serving)).job.id)
    assert job.epoch == 1


async def test_it_is_told_for_how_long_the_oldest_job_waits(replica: MakeReplica, accept: Accept) -> None:
    jobs = replica(kind(Held(), "told"), is_working=False)
    await accept(jobs, kind="told")
    await jobs.observe()
    waits = JOBS_WAITING.labels("told")._value.get()
    await jobs.runner.claim()
    await jobs.observe()
    assert waits >= 0
    assert JOBS_WAITING.labels("told")._value.get() == 0
