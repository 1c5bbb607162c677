"""Replicas that share a database, and work on what a test declares."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, Protocol

import pytest
import pytest_asyncio
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.base.clock import new_id
from service.base.db import Database
from service.base.tables import jobs as job_rows
from service.operations.calls import Json, Outcome, Parent, Write
from service.operations.jobs.jobs import Jobs
from service.operations.jobs.kinds import Kind
from service.operations.jobs.values import Accepted
from service.operations.ledger import Ledger
from service.operations.operations import Operations
from tests.service.calls import CALLER, intent, make_call


class MakeReplica(Protocol):
    def __call__(self, *kinds: Kind, is_working: bool = True) -> Jobs: ...


class Accept(Protocol):
    def __call__(self, jobs: Jobs, key: str = "a", **given: Any) -> Awaitable[Accepted]: ...  # noqa: ANN401 - as accept's


Within = Callable[[Write], Awaitable[None]]
"""Calls a write in a transaction of its own."""
Forsake = Callable[[str], Awaitable[None]]


@pytest_asyncio.fixture
async def replica(database: Database, ledger: Ledger) -> AsyncIterator[MakeReplica]:
    """Makes a replica that is started; it runs what it accepts, and all are closed at the end."""
    async with AsyncExitStack() as stack:

        def make(*kinds: Kind, is_working: bool = True) -> Jobs:
            jobs = Jobs(database=database, ledger=ledger, owner=new_id())
            for kind in kinds:
                jobs.register(kind)
            if is_working:
                jobs.runner.start()
            stack.push_async_callback(jobs.runner.close)
            return jobs

        yield make


@pytest.fixture
def accept(operate: Operations) -> Accept:
    """Accepts a job as the areas do: in the commit that completes the operation that asked for it."""

    async def run(jobs: Jobs, key: str = "a", *, kind: str = "made", **given: Any) -> Accepted:  # noqa: ANN401 - as accept's
        accepted: Accepted | None = None

        async def act(operation_id: str) -> Outcome[Json]:
            parent = Parent(operation_id, CALLER.id, CALLER.label, "request-1", f"local/{key}")

            async def write(connection: AsyncConnection) -> None:
                nonlocal accepted
                accepted = await jobs.accept(connection, kind, key, {"of": key}, parent=parent, **given)

            return Outcome({}, {}, write)

        await operate.run(make_call(), intent(), act)
        assert accepted
        jobs.begin(accepted)
        return accepted

    return run


@pytest.fixture
def forsake(database: Database) -> Forsake:
    """Lets the lease of a job run out, as if whoever has it had died a while ago."""

    async def run(job_id: str) -> None:
        async with database.write() as connection:
            over = update(job_rows).where(job_rows.c.id == job_id)
            await connection.execute(over.values(lease_until=database.clock(timedelta(seconds=-1))))

    return run


@pytest.fixture
def within(database: Database) -> Within:
    async def run(write: Write) -> None:
        async with database.write() as connection:
            await write(connection)

    return run
