"""The service's database as one SQLite in memory, asked in this thread, so that virtual time never passes meanwhile."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Connection, Row, StaticPool, Table, create_engine, insert

from service.base.db import Database, Query
from service.base.errors import DatabaseError
from service.base.migrate import migrate
from service.base.settings import DatabaseSettings, Settings
from tests.simulation.faults import database_fault
from tests.simulation.replica import alive
from tests.simulation.world import World


class _Asynchronous:
    """As much of SQLAlchemy's AsyncConnection as the ledger uses."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def execute(self, *statement: Any) -> Any:  # noqa: ANN401 - as SQLAlchemy's
        return self._connection.execute(*statement)

    async def rollback(self) -> None:
        self._connection.rollback()


class Store:
    """The tables, with their triggers, made anew for each history from one migrated template."""

    def __init__(self) -> None:
        self._template = _migrated()
        self._raw = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self.engine = create_engine("sqlite://", creator=lambda: self._raw, poolclass=StaticPool)
        self.lock = asyncio.Lock()

    def reset(self) -> None:
        self._template.backup(self._raw)
        self._raw.execute("PRAGMA foreign_keys=ON")
        self.lock = asyncio.Lock()

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        """What a query finds, past the service."""
        found = self._raw.execute(query, values)
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found]

    def begin(self) -> None:
        self._raw.execute("BEGIN IMMEDIATE")


class SimulatedDatabase(Database):
    """Takes a moment for each transaction, and fails as the history's faults have it."""

    def __init__(self, store: Store, world: World) -> None:
        self._store = store
        self._world = world
        self.is_sqlite = True

    @asynccontextmanager
    async def read(self, *, is_urgent: bool = False) -> AsyncIterator[Any]:  # noqa: ARG002 - as the database's
        await self._reach("read")
        with self._store.engine.connect() as connection:
            yield _Asynchronous(connection)

    @asynccontextmanager
    async def write(self, *, is_urgent: bool = False) -> AsyncIterator[Any]:  # noqa: ARG002 - as the database's
        name, fault = await self._reach("write")
        async with self._store.lock:
            with self._store.engine.connect() as connection:
                self._store.begin()
                yield _Asynchronous(connection)
                alive()
                connection.commit()
        if fault == "lost":
            raise DatabaseError("The acknowledgement of a commit was lost.")
        # What is committed may still be unknown to its writer when that dies, or stands still.
        await asyncio.sleep(self._world.faults.pace(f"{name}/back"))

    async def fetch(
        self, query: Query, parameters: Mapping[str, Any] | None = None, *, is_urgent: bool = False
    ) -> Sequence[Row[Any]]:
        async with self.read(is_urgent=is_urgent) as connection:
            rows: Sequence[Row[Any]] = (await connection.execute(query, parameters)).all()
        return rows

    async def insert(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        async with self.write() as connection:
            await connection.execute(insert(table), rows)

    async def _reach(self, what: str) -> tuple[str, str | None]:
        alive()
        name = self._world.name(f"database {what}")
        await asyncio.sleep(self._world.faults.pace(name))
        alive()
        fault = database_fault(self._world.faults, name, self._world.loop.now)
        if fault:
            self._world.note(f"the database's {what} is {fault} [{name}]")
        if fault == "away" or (fault == "lost" and what == "read"):
            raise DatabaseError("The database is away.")
        return name, fault


def _migrated() -> sqlite3.Connection:
    template = sqlite3.connect(":memory:")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "template.db"
        asyncio.run(_migrate(file))
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.backup(template)
    return template


async def _migrate(file: Path) -> None:
    database = Database(Settings(database=DatabaseSettings(url=SecretStr(f"sqlite:///{file}"))))
    try:
        await migrate(database)
    finally:
        await database.close()
