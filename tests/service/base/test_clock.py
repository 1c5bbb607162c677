"""The clock goes forward whatever becomes of the machine's, and so do the sweep and the leases, which hang on it."""

from datetime import timedelta

import pytest
from sqlalchemy import insert

from service.access.actions import Action
from service.base.clock import new_id, running, utcnow
from service.base.db import Database
from service.base.tables import deployments
from service.deployments.handover import Handover
from service.models.audit import Status
from service.operations.calls import Settled
from service.operations.ledger import Ledger
from service.operations.operations import Operations, Settling
from service.operations.settlement import Settlement
from tests.marks import only_sqlite
from tests.service.acts import Look
from tests.service.calls import intent, make_call
from tests.service.conftest import Rows
from tests.service.machine import Machine

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
REQUEST, LEASE = timedelta(seconds=30), timedelta(seconds=5)
FOUND = Settled(Status.SUCCEEDED, "found", {})


def test_a_clock_that_is_set_back_goes_on_by_itself_until_it_is_caught_up() -> None:
    machine = Machine()
    clock, start = machine.boot(), machine.wall
    machine.wait(10 * SECOND)
    machine.wall -= HOUR
    assert clock.now() == start + 10 * SECOND
    machine.wait(5 * SECOND)
    assert clock.now() == start + 15 * SECOND
    machine.wall += HOUR + 60 * SECOND
    assert clock.now() == start + 75 * SECOND


def test_a_clock_that_is_put_forward_or_adjusted_is_followed_and_never_goes_back() -> None:
    machine = Machine()
    clock, start = machine.boot(), machine.wall
    machine.wall += HOUR
    assert clock.now() == start + HOUR
    machine.wall -= SECOND / 2
    assert clock.now() == start + HOUR
    machine.wait(SECOND)
    assert clock.now() == start + HOUR + SECOND / 2


def _settlement(ledger: Ledger, operations: Operations) -> Settlement:
    return Settlement(ledger=ledger, operations=operations, grace=15 * SECOND, interval=SECOND, longest=REQUEST)


@pytest.mark.asyncio
async def test_the_sweep_goes_on_while_the_clock_is_behind(ledger: Ledger, operate: Operations, rows: Rows) -> None:
    machine = Machine()
    operate.settles({Action.REPOSITORY_CREATE: Settling(Look(FOUND))})
    with running(machine.boot()):
        await ledger.open(make_call(within=REQUEST), intent())
        machine.wall -= HOUR
        assert await _settlement(ledger, operate).sweep() == 0
        machine.wait(60 * SECOND)
        assert await _settlement(ledger, operate).sweep() == 1
    [row] = await rows()
    assert row["completed_at"] > row["started_at"]


@only_sqlite
@pytest.mark.asyncio
async def test_what_a_process_before_left_open_is_settled_though_the_clock_was_set_back_since(
    ledger: Ledger, operate: Operations
) -> None:
    machine = Machine()
    operate.settles({Action.REPOSITORY_CREATE: Settling(Look(FOUND))})
    with running(machine.boot()):
        await ledger.open(make_call(within=REQUEST), intent())
        machine.wait(60 * SECOND)
        await ledger.claim([Action.REPOSITORY_CREATE], overdue_since=SECOND, hold=HOUR)
    machine.wall -= 3 * HOUR
    with running(machine.boot()):
        assert await _settlement(ledger, operate).sweep() == 1


@only_sqlite
@pytest.mark.asyncio
async def test_what_is_at_work_is_left_alone(ledger: Ledger, operate: Operations) -> None:
    operate.settles({Action.REPOSITORY_CREATE: Settling(Look(FOUND))})
    await ledger.open(make_call(within=REQUEST), intent())
    assert await _settlement(ledger, operate).sweep() == 0


@only_sqlite
@pytest.mark.asyncio
async def test_a_lease_ends_though_the_clock_was_set_back_since(database: Database, ledger: Ledger) -> None:
    machine = Machine()
    with running(machine.boot()):
        deployment = await ledger.open(make_call(), intent(Action.DEPLOYMENT_CREATE))
        async with database.write() as connection:
            await connection.execute(insert(deployments).values(_unfinished(deployment)))
    machine.wall -= HOUR
    with running(machine.boot()):
        handover = Handover(database=database, lease=LEASE)
        assert await handover.left() == [deployment]
        async with database.write() as connection:
            await handover.take(connection, deployment)
        assert await handover.left() == []


def _unfinished(deployment: str) -> dict[str, object]:
    now = utcnow()
    names = ("kind", "cluster", "namespace", "name", "image", "image_uri", "digest", "actor", "actor_label", "status")
    return {
        **dict.fromkeys(names, "any"),
        "id": deployment,
        "request_id": new_id(),
        "generation": 1,
        "spec": {},
        "checks": {},
        "urls": [],
        "accepted_at": now,
        "lease_owner": "who died",
        "lease_until": now + LEASE,
    }
