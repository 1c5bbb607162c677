"""The ledger: opened once, completed once, and fenced against a sweep that has taken a row over."""

import asyncio
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import delete, event, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.access.actions import Action
from service.base.clock import new_id, utcnow
from service.base.db import Database
from service.base.errors import ConflictError, DatabaseError
from service.base.tables import idempotency_keys, keys, operations
from service.models.audit import Status
from service.operations.calls import Settled, Twin
from service.operations.ledger import Ledger
from tests.service.calls import intent, make_call
from tests.service.conftest import Remembered, Rows

pytestmark = pytest.mark.asyncio

ALL = list(Action)
NOW, OVERDUE = timedelta(0), timedelta(seconds=-1)
HOLD = timedelta(seconds=30)


async def test_an_open_row_says_who_is_about_to_do_what(ledger: Ledger, rows: Rows) -> None:
    call = make_call()
    operation_id = await ledger.open(call, intent())
    [row] = await rows()
    assert row["id"] == operation_id
    assert (row["actor"], row["actor_label"], row["request_id"]) == ("caller-1", "ci", "request-1")
    assert (row["action"], row["registry_name"], row["target"]) == ("repository.create", "local", "local/team/app")
    assert (row["status"], row["completed_at"], row["settled_by"]) == (Status.PENDING, None, None)
    assert row["deadline_at"] == call.deadline.at
    assert row["request"] == {"name": "team/app"}


async def test_rows_of_concurrent_requests_share_commits(ledger: Ledger, database: Database, rows: Rows) -> None:
    commits: list[object] = []
    event.listen(database.engine.sync_engine, "commit", commits.append)
    opened = await asyncio.gather(*(ledger.open(make_call(), intent()) for _ in range(50)))
    assert len(set(opened)) == 50
    assert {row["id"] for row in await rows()} == set(opened)
    assert len(commits) < 10


async def test_a_row_is_completed_once_and_keeps_its_first_outcome(ledger: Ledger, rows: Rows) -> None:
    operation_id = await ledger.open(make_call(), intent())
    assert await ledger.complete(operation_id, Status.SUCCEEDED, result={"uri": "u"})
    await ledger.complete(operation_id, Status.FAILED, code="late")
    [row] = await rows()
    assert (row["status"], row["settled_by"], row["result"], row["code"]) == (
        "succeeded",
        "request",
        {"uri": "u"},
        None,
    )


async def test_completing_again_is_well_as_its_acknowledgement_may_have_been_lost(ledger: Ledger) -> None:
    operation_id = await ledger.open(make_call(), intent())
    assert await ledger.complete(operation_id, Status.SUCCEEDED)
    assert await ledger.complete(operation_id, Status.SUCCEEDED)


async def test_what_goes_with_an_outcome_is_in_the_same_commit(ledger: Ledger, database: Database, rows: Rows) -> None:
    operation_id = await ledger.open(make_call(), intent())
    key = {
        "id": new_id(),
        "label": "made",
        "bindings": [],
        "is_written_out": True,
        "created_at": utcnow(),
        "created_by": "caller-1",
    }

    async def write(connection: AsyncConnection) -> None:
        await connection.execute(insert(keys).values(key))

    async def write_then_refuse(connection: AsyncConnection) -> None:
        await write(connection)
        raise ConflictError("There are too many keys.")

    with pytest.raises(ConflictError):
        await ledger.complete(operation_id, Status.SUCCEEDED, write=write_then_refuse)
    [row] = await rows()
    assert row["completed_at"] is None
    assert await ledger.complete(operation_id, Status.SUCCEEDED, write=write)
    async with database.read() as connection:
        assert (await connection.execute(select(keys.c.label))).scalars().all() == ["made"]


async def test_a_key_stands_for_the_first_operation_that_brought_it(ledger: Ledger, rows: Rows) -> None:
    first = await ledger.open_with_key(make_call(key="k"), intent())
    again = await ledger.open_with_key(make_call(key="k", fingerprint="another"), intent())
    assert again == Twin(str(first), "the request", Status.PENDING, None)
    assert [row["id"] for row in await rows()] == [first]


async def test_of_twenty_at_once_one_gets_the_key(ledger: Ledger, remembered: Remembered) -> None:
    opened = await asyncio.gather(*(ledger.open_with_key(make_call(key="k"), intent()) for _ in range(20)))
    winners = [one for one in opened if isinstance(one, str)]
    assert len(winners) == 1
    assert {one.id for one in opened if isinstance(one, Twin)} == set(winners)
    assert await remembered() == winners


async def test_a_key_is_its_callers_own(ledger: Ledger, remembered: Remembered) -> None:
    other = make_call(key="k").caller
    await ledger.open_with_key(make_call(key="k"), intent())
    neighbour = type(other)("caller-2", other.label, other.bindings)
    assert isinstance(await ledger.open_with_key(make_call(key="k", caller=neighbour), intent()), str)
    assert len(await remembered()) == 2


async def test_an_expired_key_stands_for_nothing(database: Database, rows: Rows, remembered: Remembered) -> None:
    forgetful = Ledger(database=database, remember=timedelta(seconds=-1))
    first = await forgetful.open_with_key(make_call(key="k"), intent())
    second = await forgetful.open_with_key(make_call(key="k"), intent())
    assert isinstance(second, str)
    assert second != first
    await forgetful.forget_expired_keys()
    assert await remembered() == []
    assert len(await rows()) == 2


async def test_keys_that_have_not_expired_are_kept(ledger: Ledger, remembered: Remembered) -> None:
    first = await ledger.open_with_key(make_call(key="k"), intent())
    await ledger.forget_expired_keys()
    assert await remembered() == [first]


async def test_only_rows_past_deadline_and_grace_are_claimed(ledger: Ledger) -> None:
    overdue = await ledger.open(make_call(within=OVERDUE), intent())
    await ledger.open(make_call(), intent())
    await ledger.record(make_call(within=OVERDUE), intent(), Status.REFUSED)
    assert await ledger.claim(ALL, overdue_since=timedelta(minutes=1), hold=HOLD) == []
    assert [row["id"] for row in await ledger.claim(ALL, overdue_since=NOW, hold=HOLD)] == [overdue]


async def test_a_step_of_long_work_is_its_owners_to_settle(ledger: Ledger, database: Database, rows: Rows) -> None:
    parent = await ledger.open(make_call(within=OVERDUE), intent())
    [row] = await rows()
    async with database.write() as connection:
        await connection.execute(insert(operations).values({**row, "id": new_id(), "parent_id": parent}))
    assert [row["id"] for row in await ledger.claim(ALL, overdue_since=NOW, hold=HOLD)] == [parent]


async def test_of_two_sweeps_at_once_one_claims_a_row(ledger: Ledger) -> None:
    for _ in range(10):
        await ledger.open(make_call(within=OVERDUE), intent())
    sweeps = await asyncio.gather(*(ledger.claim(ALL, overdue_since=NOW, hold=HOLD) for _ in range(4)))
    claimed = [row["id"] for sweep in sweeps for row in sweep]
    assert len(claimed) == len(set(claimed)) == 10


async def test_a_late_request_can_not_complete_a_row_that_a_sweep_has_claimed(ledger: Ledger, rows: Rows) -> None:
    operation_id = await ledger.open(make_call(within=OVERDUE), intent())
    [claimed] = await ledger.claim(ALL, overdue_since=NOW, hold=HOLD)
    assert not await ledger.complete(operation_id, Status.SUCCEEDED)
    await ledger.settle(claimed, Settled(Status.FAILED, "absent"))
    assert not await ledger.complete(operation_id, Status.SUCCEEDED)
    [row] = await rows()
    assert (row["status"], row["settled_by"], row["note"]) == ("failed", "sweep", "absent")


async def test_a_sweep_that_lost_its_claim_can_not_settle(ledger: Ledger, rows: Rows) -> None:
    await ledger.open(make_call(within=OVERDUE), intent())
    [stale] = await ledger.claim(ALL, overdue_since=NOW, hold=OVERDUE)
    [fresh] = await ledger.claim(ALL, overdue_since=NOW, hold=HOLD)
    await ledger.settle(stale, Settled(Status.FAILED, "the stale one"))
    assert [row["completed_at"] for row in await rows()] == [None]
    await ledger.settle(fresh, Settled(Status.SUCCEEDED, "the fresh one", {"uri": "u"}))
    [row] = await rows()
    assert (row["note"], row["result"]) == ("the fresh one", {"uri": "u"})


@pytest.mark.parametrize(("status", "is_kept"), [(Status.SUCCEEDED, True), (Status.FAILED, False)])
async def test_settling_a_failure_frees_the_key(
    ledger: Ledger, status: Status, remembered: Remembered, *, is_kept: bool
) -> None:
    await ledger.open_with_key(make_call(key="k", within=OVERDUE), intent())
    [claimed] = await ledger.claim(ALL, overdue_since=NOW, hold=HOLD)
    await ledger.settle(claimed, Settled(status, "looked"))
    assert bool(await remembered()) is is_kept


async def test_with_the_database_away_every_step_says_so(away: Database) -> None:
    ledger = Ledger(database=away, remember=timedelta(hours=1))
    with pytest.raises(DatabaseError):
        await ledger.open(make_call(), intent())
    with pytest.raises(DatabaseError):
        await ledger.open_with_key(make_call(key="k"), intent())
    with pytest.raises(DatabaseError):
        await ledger.complete("some", Status.SUCCEEDED)
    with pytest.raises(DatabaseError):
        await ledger.claim(ALL, overdue_since=NOW, hold=HOLD)


async def test_a_write_that_fails_leaves_nothing_behind(
    database: Database, ledger: Ledger, remembered: Remembered
) -> None:
    operation_id = await ledger.open_with_key(make_call(key="k"), intent())

    async def forget_then_fail() -> None:
        async with database.write() as connection:
            await connection.execute(delete(idempotency_keys))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await forget_then_fail()
    assert await remembered() == [operation_id]


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
async def test_a_key_freed_while_its_twin_is_looked_up_is_taken(
    ledger: Ledger, database: Database, database_url: str, remembered: Remembered
) -> None:
    await ledger.open_with_key(make_call(key="k"), intent())

    def free(*happened: object) -> None:
        if str(happened[2]).startswith("INSERT INTO idempotency_keys"):
            with psycopg.connect(database_url) as elsewhere:
                elsewhere.execute("DELETE FROM idempotency_keys")

    event.listen(database.engine.sync_engine, "after_cursor_execute", free)
    opened = await ledger.open_with_key(make_call(key="k"), intent())
    assert await remembered() == [opened]


async def test_a_note_in_a_strangers_words_is_made_to_fit(ledger: Ledger, rows: Rows) -> None:
    operation_id = await ledger.open(make_call(), intent())
    assert await ledger.complete(operation_id, Status.FAILED, note="a\0b" * 1000)
    [row] = await rows()
    assert (row["status"], row["note"][:5], len(row["note"])) == (Status.FAILED, "a?ba?", 512)


async def test_what_is_opened_while_a_sweep_waits_to_begin_is_not_taken_for_impossible(
    ledger: Ledger, database: Database
) -> None:
    longest = timedelta(seconds=10)
    async with database.write() as connection:
        sweep = asyncio.create_task(ledger.claim(ALL, overdue_since=NOW, hold=HOLD, longest=longest))
        await asyncio.sleep(0)  # it waits for SQLite's one writer; PostgreSQL has many
        opened = ledger._row(make_call(within=longest), intent(), Status.PENDING)
        await connection.execute(insert(operations).values(opened))
    assert await sweep == []
