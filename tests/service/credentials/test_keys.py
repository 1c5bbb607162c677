"""What HTTP can't bring about at will: changes of keys at the same moment, on two replicas."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio

from service.access.actions import Action, Role
from service.access.authz import Binding
from service.access.identity import new_secret, operator
from service.base.db import Database
from service.base.errors import ConflictError
from service.base.settings import Settings
from service.credentials.keys import Keys
from service.models.audit import Status
from service.models.keys import KeyCreate
from service.operations.calls import Call
from service.operations.ledger import Ledger
from service.operations.operations import Operations
from service.operations.settlement import Settlement
from tests.service.calls import intent, make_call
from tests.service.conftest import Rows

pytestmark = pytest.mark.asyncio

ADMIN = KeyCreate(label="admin", bindings=[Binding(role=Role.ADMIN)])


@pytest_asyncio.fixture
async def replicas(bare_settings: Settings) -> AsyncIterator[tuple[Keys, Keys]]:
    """Two of them, with connections of their own: nothing but the database stands between."""
    databases = Database(bare_settings), Database(bare_settings)
    one, other = (
        Keys(
            database=database,
            operations=Operations(ledger=Ledger(database=database, remember=bare_settings.deadlines.idempotency)),
            registries=(),
            clusters=(),
        )
        for database in databases
    )
    yield one, other
    for database in databases:
        await database.close()


def call() -> Call:
    return make_call(caller=operator("cli"))


async def live(keys: Keys) -> list[str]:
    page = await keys.list(operator("cli"), cursor=None, limit=1000)
    return [key.id for key in page.items if key.revoked_at is None]


async def test_of_two_revocations_at_once_one_leaves_an_admin(replicas: tuple[Keys, Keys], rows: Rows) -> None:
    one, other = replicas
    await one.create(call(), ADMIN)
    for _ in range(5):
        await one.create(call(), ADMIN)
        first, second = await live(one)

        outcomes = await asyncio.gather(one.revoke(call(), first), other.revoke(call(), second), return_exceptions=True)

        [refusal] = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert isinstance(refusal, ConflictError)
        assert refusal.code == "last_admin_key"
        assert len(await live(one)) == 1
    assert [row["status"] for row in await rows() if row["code"]] == [Status.FAILED] * 5


async def test_a_key_adopted_by_several_at_once_is_one_key(replicas: tuple[Keys, Keys], rows: Rows) -> None:
    secret = new_secret()

    await asyncio.gather(*(keys.adopt(call(), ADMIN, secret) for keys in replicas for _ in range(3)))

    assert len(await live(replicas[0])) == 1
    assert [row["status"] for row in await rows()].count(Status.SUCCEEDED) == 1
    assert {row["code"] for row in await rows()} <= {None, "key_exists"}


@pytest.mark.parametrize("action", [Action.KEY_CREATE, Action.KEY_ROTATE, Action.KEY_REVOKE])
async def test_a_row_that_a_crash_left_open_was_not_followed_by_the_change(
    database: Database, ledger: Ledger, operate: Operations, rows: Rows, action: Action
) -> None:
    """The change and the completion of its row are one commit."""
    operate.settles(Keys(database=database, operations=operate, registries=(), clusters=()).settling)
    overdue = timedelta(seconds=-1)
    sweeper = Settlement(ledger=ledger, operations=operate, grace=overdue, interval=timedelta(hours=1))
    await ledger.open(make_call(within=overdue), intent(action))

    assert await sweeper.sweep() == 1

    [row] = await rows()
    assert (row["status"], row["settled_by"]) == (Status.FAILED, "sweep")
