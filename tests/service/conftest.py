"""The ledger and operations on a real database; AWS is whatever a test's `act` makes of it."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import pytest
from sqlalchemy import RowMapping, select

from service.base.db import Database
from service.base.tables import idempotency_keys, operations
from service.operations.ledger import Ledger
from service.operations.operations import Operations

Rows = Callable[[], Awaitable[Sequence[RowMapping]]]
Remembered = Callable[[], Awaitable[Sequence[str]]]


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database=database, remember=timedelta(hours=1))


@pytest.fixture
def operate(ledger: Ledger) -> Operations:
    return Operations(ledger=ledger)


@pytest.fixture
def rows(database: Database) -> Rows:
    """All operations, oldest first."""

    async def read() -> Sequence[RowMapping]:
        async with database.read() as connection:
            return (await connection.execute(select(operations).order_by(operations.c.id))).mappings().all()

    return read


@pytest.fixture
def remembered(database: Database) -> Remembered:
    """The operations that an Idempotency-Key stands for."""

    async def read() -> Sequence[str]:
        async with database.read() as connection:
            return (await connection.execute(select(idempotency_keys.c.operation_id))).scalars().all()

    return read
