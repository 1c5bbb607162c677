"""Leases: given and kept by the time at which that is written, before any work's turn, and by who has the job alone."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from service.base.clock import utcnow
from service.base.db import Database
from service.base.settings import Settings
from service.base.tables import jobs as job_rows
from service.operations.jobs.claims import Claims
from tests.marks import only_postgresql, only_sqlite
from tests.service.operations.jobs.conftest import Accept, Forsake, MakeReplica
from tests.service.operations.jobs.kinds import Made, kind

pytestmark = pytest.mark.asyncio

MADE = kind(Made())
GIVEN = timedelta(seconds=3.5)
"""Of its lease of five: the rest is for who takes over, who looks once a second or so."""


@pytest.fixture
def claims(database: Database) -> Claims:
    return Claims(database=database, owner="replica-1", kinds={MADE.name: MADE})


async def test_a_lease_that_is_given_while_a_claim_waits_to_begin_is_not_taken_for_impossible(
    replica: MakeReplica, accept: Accept, database: Database, claims: Claims
) -> None:
    await accept(replica(MADE, is_working=False))
    async with database.write() as connection:
        claim = asyncio.create_task(claims.claim(MADE, 1))
        await asyncio.sleep(0)  # it waits for SQLite's one writer; PostgreSQL skips what is locked
        await connection.execute(
            update(job_rows).values(lease_owner="replica-2", lease_until=database.clock(MADE.lease))
        )
    assert await claim == []


@only_sqlite  # has one writer; on PostgreSQL it waits for nothing
async def test_a_renewal_that_waited_to_begin_gives_a_whole_lease(
    replica: MakeReplica, accept: Accept, database: Database, claims: Claims
) -> None:
    await accept(replica(MADE, is_working=False))
    held = await claims.claim(MADE, 1)
    async with database.write() as connection:
        renewal = asyncio.create_task(claims.renew(held))
        await asyncio.sleep(0)
        whole = (await connection.execute(select(database.clock(GIVEN)))).scalar_one()
    assert await renewal == {held[0].id: False}
    [row] = await database.fetch(select(job_rows.c.lease_until))
    assert whole <= row.lease_until <= utcnow() + GIVEN


async def test_a_renewal_gives_each_kind_its_own_lease(
    replica: MakeReplica, accept: Accept, database: Database
) -> None:
    long = kind(Made(), "long", lease=timedelta(hours=1))
    for first, second in ((MADE, long), (long, MADE)):
        claims = Claims(database=database, owner="replica-1", kinds={one.name: one for one in (first, second)})
        serving = replica(MADE, long, is_working=False)
        for one in (MADE, long):
            await accept(serving, key=first.name, kind=one.name)
        held = [*await claims.claim(MADE, 1), *await claims.claim(long, 1)]
        await claims.renew(held)
        found = await database.fetch(
            select(job_rows.c.kind, job_rows.c.lease_until).where(job_rows.c.key == first.name)
        )
        until = {row.kind: row.lease_until for row in found}
        assert until["made"] < utcnow() + timedelta(minutes=1) < until["long"]


async def test_who_has_lost_a_job_neither_keeps_it_nor_gives_it_back(
    replica: MakeReplica, accept: Accept, forsake: Forsake, database: Database, claims: Claims
) -> None:
    await accept(replica(MADE, is_working=False))
    lost = await claims.claim(MADE, 1)
    await forsake(lost[0].id)
    [theirs] = await Claims(database=database, owner="replica-2", kinds={MADE.name: MADE}).claim(MADE, 1)
    before = await database.fetch(select(job_rows))
    assert await claims.renew(lost) == {}
    await claims.release(lost)
    assert await database.fetch(select(job_rows)) == before
    assert (theirs.id, theirs.epoch) == (lost[0].id, 2)


@only_postgresql
async def test_leases_are_kept_and_taken_while_work_has_all_connections(
    replica: MakeReplica, accept: Accept, database: Database, claims: Claims, bare_settings: Settings
) -> None:
    for key in "ab":
        await accept(replica(MADE, is_working=False), key=key)
    held = await claims.claim(MADE, 1)
    async with AsyncExitStack() as stack:
        for _ in range(bare_settings.database.pool_size):
            await stack.enter_async_context(database.write())
        assert await claims.renew(held) == {held[0].id: False}
        assert await claims.due([MADE.name]) == [MADE.name]
        assert len(await claims.claim(MADE, 2)) == 1


@only_sqlite
async def test_leases_are_kept_before_what_waits_to_write(
    replica: MakeReplica, accept: Accept, database: Database, claims: Claims
) -> None:
    await accept(replica(MADE, is_working=False))
    held = await claims.claim(MADE, 1)
    over: list[str] = []

    async def work() -> None:
        async with database.write():
            over.append("work")

    async def renew() -> None:
        assert await claims.renew(held) == {held[0].id: False}
        over.append("renewal")

    async with database.write():
        waiting = [asyncio.create_task(one()) for one in (work, work, work, renew)]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert over == ["renewal", "work", "work", "work"]
