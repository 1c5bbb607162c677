"""The sweep: what was left open gets its outcome, once, from what AWS has."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from service.access.actions import Action
from service.base.clock import running
from service.base.db import Database
from service.base.errors import AwsThrottledError
from service.models.audit import Status
from service.operations.calls import Open, Settled
from service.operations.ledger import Ledger
from service.operations.operations import Operations, Settling
from service.operations.settlement import Settlement
from tests.service.acts import Act, Look, Outage
from tests.service.calls import intent, make_call
from tests.service.conftest import Remembered, Rows
from tests.service.machine import Machine

pytestmark = pytest.mark.asyncio

OVERDUE = timedelta(seconds=-1)
INTERVAL = timedelta(milliseconds=1)
FOUND = Settled(Status.SUCCEEDED, "found with our tag", {"uri": "u"})


@pytest.fixture
def settlement(ledger: Ledger, operate: Operations) -> Settlement:
    """Its grace is negative, so that a claim has ended by the next sweep."""
    return Settlement(ledger=ledger, operations=operate, grace=OVERDUE, interval=INTERVAL)


async def test_an_overdue_row_gets_the_outcome_that_was_found(
    settlement: Settlement, operate: Operations, ledger: Ledger, rows: Rows
) -> None:
    operation_id = await ledger.open(make_call(within=OVERDUE), intent())
    look = Look(FOUND)
    operate.settles({Action.REPOSITORY_CREATE: Settling(look)})
    assert await settlement.sweep() == 1
    [row] = await rows()
    assert (row["status"], row["settled_by"], row["note"]) == (Status.SUCCEEDED, "sweep", "found with our tag")
    assert row["result"] == {"uri": "u"}
    assert look.looked_at == [Open(operation_id, Action.REPOSITORY_CREATE, "local", {"name": "team/app"})]


@pytest.mark.parametrize("named", ["k" * 600, "\0"], ids=["long", "with a NUL"])
async def test_a_row_is_settled_whatever_its_note_names(
    settlement: Settlement, operate: Operations, ledger: Ledger, rows: Rows, named: str
) -> None:
    await ledger.open(make_call(within=OVERDUE), intent())
    operate.settles({Action.REPOSITORY_CREATE: Settling(Look(replace(FOUND, note=f"found: {named}")))})
    assert await settlement.sweep() == 1
    [row] = await rows()
    assert row["note"].startswith("found: ")
    assert len(row["note"]) <= 512


async def test_a_settled_success_is_replayed_to_the_caller_who_lost_it(
    settlement: Settlement, operate: Operations, ledger: Ledger
) -> None:
    operate.settles({Action.REPOSITORY_CREATE: Settling(Look(FOUND))})
    operation_id = await ledger.open_with_key(make_call(key="k", within=OVERDUE), intent())
    await settlement.sweep()
    act = Act()
    done = await operate.run(make_call(key="k"), intent(), act)
    assert (done.operation_id, done.value, done.is_replayed) == (operation_id, {"uri": "u"}, True)
    assert act.calls == []


async def test_a_settled_failure_frees_the_key_for_another_try(
    settlement: Settlement, operate: Operations, ledger: Ledger, remembered: Remembered
) -> None:
    operate.settles({Action.REPOSITORY_CREATE: Settling(Look(Settled(Status.FAILED, "absent")))})
    await ledger.open_with_key(make_call(key="k", within=OVERDUE), intent())
    await settlement.sweep()
    assert await remembered() == []
    assert not (await operate.run(make_call(key="k"), intent(), Act())).is_replayed


async def test_what_is_not_overdue_is_left_alone(
    settlement: Settlement, operate: Operations, ledger: Ledger, rows: Rows
) -> None:
    look = Look(FOUND)
    operate.settles({Action.REPOSITORY_CREATE: Settling(look)})
    await ledger.open(make_call(), intent())
    assert await settlement.sweep() == 0
    assert (look.looked_at, (await rows())[0]["claimed_until"]) == ([], None)


async def test_a_row_of_a_kind_that_this_version_does_not_know_is_left_to_one_that_does(
    settlement: Settlement, operate: Operations, ledger: Ledger, rows: Rows
) -> None:
    await ledger.open(make_call(within=OVERDUE), intent(Action.REPOSITORY_DELETE))
    await ledger.open(make_call(within=OVERDUE), intent())
    operate.settles({Action.REPOSITORY_CREATE: Settling(Look(FOUND))})
    assert await settlement.sweep() == 1
    left, settled = await rows()
    assert (left["claimed_until"], settled["status"]) == (None, Status.SUCCEEDED)


@pytest.mark.parametrize("finds", [None, AwsThrottledError("Slower.")], ids=["nothing", "error"])
async def test_what_can_not_be_told_now_is_looked_at_again(
    settlement: Settlement, operate: Operations, ledger: Ledger, rows: Rows, finds: Exception | None
) -> None:
    await ledger.open(make_call(within=OVERDUE), intent())
    operate.settles({Action.REPOSITORY_CREATE: Settling(Look(finds))})
    assert await settlement.sweep() == 0
    operate.settles({Action.REPOSITORY_CREATE: Settling(Look(FOUND))})
    assert await settlement.sweep() == 1
    assert [row["status"] for row in await rows()] == [Status.SUCCEEDED]


async def test_a_defect_in_settling_one_row_does_not_keep_the_others_open(
    settlement: Settlement, operate: Operations, ledger: Ledger, rows: Rows
) -> None:
    await ledger.open(make_call(within=OVERDUE), intent(Action.REPOSITORY_DELETE))
    await ledger.open(make_call(within=OVERDUE), intent())
    operate.settles({Action.REPOSITORY_DELETE: Settling(Look(RuntimeError("a defect")))})
    operate.settles({Action.REPOSITORY_CREATE: Settling(Look(FOUND))})
    await settlement.sweep()
    assert [row["status"] for row in await rows()] == [Status.PENDING, Status.SUCCEEDED]


async def test_the_sweep_outlives_an_outage_of_the_database(
    settlement: Settlement, operate: Operations, ledger: Ledger, database: Database
) -> None:
    settled = asyncio.Event()

    async def look(_: Open) -> Settled:
        settled.set()
        return FOUND

    operate.settles({Action.REPOSITORY_CREATE: Settling(look)})
    await ledger.open(make_call(within=OVERDUE), intent())
    outage = Outage(database, attempts=3)
    await outage.begin()
    sweeping = asyncio.create_task(settlement.run())
    await asyncio.wait_for(settled.wait(), timeout=10)
    sweeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sweeping
    assert outage.refused == 3


async def test_two_sweeps_at_once_settle_a_row_once(
    settlement: Settlement, operate: Operations, ledger: Ledger, rows: Rows
) -> None:
    patient = Settlement(ledger=ledger, operations=operate, grace=timedelta(seconds=30), interval=INTERVAL)
    await ledger.open(make_call(within=timedelta(minutes=-1)), intent())
    operate.settles({Action.REPOSITORY_CREATE: Settling(Look(FOUND))})
    assert sorted(await asyncio.gather(*(patient.sweep() for _ in range(3)))) == [0, 0, 1]
    assert await settlement.sweep() == 0
    assert len(await rows()) == 1


LOOKED = Settled(Status.FAILED, "as it was before")


async def _open_two(ledger: Ledger) -> tuple[str, str]:
    """A repository's creation, and behind it a vend."""
    creation = await ledger.open(make_call(within=2 * OVERDUE), intent())
    return creation, await ledger.open(make_call(within=OVERDUE), intent(Action.TOKEN_PULL))


async def test_a_slow_look_holds_up_nobody(ledger: Ledger, operate: Operations, rows: Rows) -> None:
    is_at_work, may_end = asyncio.Event(), asyncio.Event()

    async def look_slowly(_: Open) -> Settled:
        is_at_work.set()
        await may_end.wait()
        return FOUND

    settlement = Settlement(ledger=ledger, operations=operate, grace=OVERDUE, interval=INTERVAL)
    operate.settles({Action.REPOSITORY_CREATE: Settling(look_slowly, looks=True)})
    operate.settles({Action.REPOSITORY_DELETE: Settling(Look(FOUND), looks=True)})
    operate.settles({Action.TOKEN_PULL: Settling(Look(Settled(Status.UNKNOWN, "assume it")))})
    await ledger.open(make_call(within=2 * OVERDUE), intent())
    sweeping = asyncio.create_task(settlement.run())
    await is_at_work.wait()
    for action in (Action.REPOSITORY_DELETE, Action.TOKEN_PULL):
        await ledger.open(make_call(within=OVERDUE), intent(action))
    async with asyncio.timeout(10):
        while [row["status"] for row in await rows()] != [Status.PENDING, Status.SUCCEEDED, Status.UNKNOWN]:
            pass
    settlement.stop()
    may_end.set()
    await sweeping
    assert {row["settled_by"] for row in await rows()} == {"sweep"}


async def test_looks_are_made_at_once_and_not_too_many(ledger: Ledger, operate: Operations) -> None:
    at_work, most = 0, 0
    is_full = asyncio.Event()

    async def look(_: Open) -> Settled:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        if at_work == 16:
            is_full.set()
        await is_full.wait()
        at_work -= 1
        return FOUND

    settlement = Settlement(ledger=ledger, operations=operate, grace=OVERDUE, interval=INTERVAL)
    operate.settles({Action.REPOSITORY_CREATE: Settling(look, looks=True)})
    await asyncio.gather(*(ledger.open(make_call(within=2 * OVERDUE), intent()) for _ in range(40)))
    async with asyncio.timeout(20):
        assert [await settlement.sweep() for _ in range(3)] == [16, 16, 8]
    assert most == 16


async def test_what_needs_no_look_is_settled_before_what_does(
    ledger: Ledger, operate: Operations, rows: Rows, settlement: Settlement
) -> None:
    seen: list[str] = []

    async def look(_: Open) -> Settled:
        seen.extend(row["status"] for row in await rows())
        return FOUND

    operate.settles({Action.REPOSITORY_CREATE: Settling(look, looks=True)})
    operate.settles({Action.TOKEN_PULL: Settling(Look(Settled(Status.UNKNOWN, "assume it")))})
    await _open_two(ledger)
    assert await settlement.sweep() == 2
    assert seen == [Status.PENDING, Status.UNKNOWN]


async def test_a_failure_is_believed_when_it_is_seen_again_some_time_later(
    ledger: Ledger, operate: Operations, rows: Rows, remembered: Remembered
) -> None:
    machine = Machine()
    with running(machine.boot()):
        settlement = Settlement(ledger=ledger, operations=operate, grace=OVERDUE, interval=INTERVAL)
        operate.settles({Action.REPOSITORY_CREATE: Settling(look := Look(LOOKED), looks=True)})
        await ledger.open_with_key(make_call(key="k", within=2 * OVERDUE), intent())
        assert await settlement.sweep() == 0
        machine.wait(timedelta(seconds=9))
        assert await settlement.sweep() == 0
        assert (len(look.looked_at), len(await remembered())) == (1, 1)
        machine.wait(timedelta(seconds=2))
        # Another replica, or this one after it was started anew.
        again = Settlement(ledger=ledger, operations=operate, grace=OVERDUE, interval=INTERVAL)
        assert await again.sweep() == 1
    [row] = await rows()
    assert (row["status"], await remembered()) == (Status.FAILED, [])


async def test_what_is_seen_otherwise_in_between_is_seen_for_the_first_time(
    ledger: Ledger, operate: Operations, rows: Rows
) -> None:
    machine, between = Machine(), timedelta(seconds=11)
    with running(machine.boot()):
        settlement = Settlement(ledger=ledger, operations=operate, grace=OVERDUE, interval=INTERVAL)
        await ledger.open(make_call(within=2 * OVERDUE), intent())
        for finds in (LOOKED, Settled(Status.UNKNOWN, "another"), LOOKED):
            operate.settles({Action.REPOSITORY_CREATE: Settling(Look(finds), looks=True)})
            assert await settlement.sweep() == 0
            machine.wait(between)
        operate.settles({Action.REPOSITORY_CREATE: Settling(Look(FOUND), looks=True)})
        assert await settlement.sweep() == 1
    assert [row["status"] for row in await rows()] == [Status.SUCCEEDED]


async def test_what_was_never_sent_is_a_failure_at_once(
    settlement: Settlement, ledger: Ledger, operate: Operations, rows: Rows
) -> None:
    look = Look(FOUND)
    operate.settles({Action.REPOSITORY_UPDATE: Settling(look, looks=True)})
    update = replace(intent(Action.REPOSITORY_UPDATE), keeps_before=True)
    await ledger.open(make_call(within=OVERDUE), update)
    assert await settlement.sweep() == 1
    [row] = await rows()
    assert (row["status"], row["note"], look.looked_at) == (Status.FAILED, "AWS was not asked to do it", [])
