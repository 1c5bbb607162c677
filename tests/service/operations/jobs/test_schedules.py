"""Schedules: each occurrence is recorded and made once, whoever of the replicas sees that it is due."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import update

from service.base.clock import utcnow
from service.base.db import Database
from service.base.tables import schedules
from service.operations.jobs.schedules import Schedules
from service.operations.ledger import Ledger
from tests.service.conftest import Rows
from tests.service.operations.jobs.conftest import MakeReplica
from tests.service.operations.jobs.kinds import Held, kind

pytestmark = pytest.mark.asyncio

DAY = timedelta(days=1)


async def _make_due(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(update(schedules).values(next_at=utcnow() - 3 * DAY))


async def test_an_occurrence_is_made_once_by_two_replicas_and_recorded(
    replica: MakeReplica, database: Database, ledger: Ledger, rows: Rows
) -> None:
    held = Held()
    replicas = [replica(kind(held), is_working=False) for _ in range(2)]
    known = [Schedules(database=database, ledger=ledger, jobs=one) for one in replicas]
    await known[0].define("nightly", "made", DAY, {"of": "all"})
    await asyncio.gather(*(one.run_due() for one in known))
    assert await rows() == []

    await _make_due(database)
    await asyncio.gather(*(one.run_due() for one in known))
    await asyncio.gather(*(one.run_due() for one in known))

    [row] = await rows()
    assert (row["actor"], row["actor_label"], row["action"]) == ("schedule", "nightly", "job.schedule")
    job = await replicas[0].store.get(row["id"])
    assert job
    assert (job.kind, job.key, job.payload) == ("made", "nightly", {"of": "all"})


async def test_an_occurrence_is_left_out_while_the_one_before_is_not_over(
    replica: MakeReplica, database: Database, ledger: Ledger, rows: Rows
) -> None:
    jobs = replica(kind(Held()), is_working=False)
    nightly = Schedules(database=database, ledger=ledger, jobs=jobs)
    await nightly.define("nightly", "made", DAY, {})
    for _ in range(2):
        await _make_due(database)
        await nightly.run_due()
    assert len(await rows()) == 1
