"""Waking: told at once where the database can tell, and seen a little later where it did not."""

import asyncio
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from service.base.db import Database
from service.operations.jobs.wakeups import Wakeups
from tests.marks import only_postgresql
from tests.service.operations.jobs.conftest import Accept, Forsake, MakeReplica, Within
from tests.service.operations.jobs.kinds import Held, Made, ended, kind

pytestmark = pytest.mark.asyncio

_LISTENERS = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"


async def _told(woken: asyncio.Event, wakeups: Wakeups, within: Within) -> None:
    """Tell until it is heard, as the other may not listen yet."""
    woken.clear()
    async with asyncio.timeout(20):
        while not woken.is_set():
            await within(wakeups.announce)
            await asyncio.sleep(0)


@only_postgresql
async def test_a_replica_is_told_of_a_job_that_is_committed(database: Database, within: Within) -> None:
    woken, wakeups = asyncio.Event(), Wakeups(database=database)
    wakeups.listen(woken.set)
    await _told(woken, wakeups, within)
    await wakeups.close()


@only_postgresql
async def test_a_replica_whose_listening_connection_died_listens_by_another(database: Database, within: Within) -> None:
    woken, wakeups = asyncio.Event(), Wakeups(database=database, pause=0.01)
    wakeups.listen(woken.set)
    await _told(woken, wakeups, within)
    async with database.read() as connection:
        dead = (await connection.execute(text(f"SELECT pid, pg_terminate_backend(pid, 5000) {_LISTENERS}"))).all()
    await _told(woken, wakeups, within)
    async with database.read() as connection:
        alive = (await connection.execute(text(f"SELECT pid {_LISTENERS}"))).scalars().all()
    await wakeups.close()
    assert [is_ended for _, is_ended in dead] == [True]
    assert [pid for pid, _ in dead] != alive


async def test_what_nobody_tells_of_is_found_by_looking(replica: MakeReplica, accept: Accept, forsake: Forsake) -> None:
    left, made = Made(Held()), Made()
    died = replica(kind(left), is_working=False)
    job_id = (await accept(died)).job.id
    await died.runner.claim()
    await left.begun.wait()
    working = replica(kind(made, lease=timedelta(seconds=0.5)))
    await forsake(job_id)  # no notification goes with a lease that ends
    assert (await ended(working, job_id)).epoch == 2


async def test_it_is_told_for_how_long_the_oldest_job_waits(replica: MakeReplica, accept: Accept) -> None:
    def waits() -> float | None:
        return REGISTRY.get_sample_value("wharfinger_jobs_waiting_seconds", {"kind": "told"})

    jobs = replica(kind(Held(), "told"), is_working=False)
    await accept(jobs, kind="told")
    await jobs.observe()
    waiting = waits()
    await jobs.runner.claim()
    await jobs.observe()
    assert waiting is not None
    assert waiting > 0
    assert waits() == 0
