"""The database: SQLite embedded, PostgreSQL shared, one way to read and one to write."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import event, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from service.errors import DatabaseError
from service.settings import Settings


class Database:
    """Short transactions only: nothing here is open while AWS is asked."""

    def __init__(self, settings: Settings) -> None:
        url = make_url(settings.database_url)
        self.is_sqlite = url.get_backend_name() == "sqlite"
        timeout = settings.database.timeout.total_seconds()
        if self.is_sqlite:
            if url.database and url.database != ":memory:":
                Path(url.database).parent.mkdir(parents=True, exist_ok=True)
            connect_args: dict[str, Any] = {"timeout": timeout}
        else:
            connect_args = {"connect_timeout": max(1, round(timeout)), "prepare_threshold": 1}
        self.engine: AsyncEngine = create_async_engine(
            url,
            connect_args=connect_args,
            pool_size=settings.database.pool_size,
            pool_timeout=timeout,
            pool_pre_ping=not self.is_sqlite,
        )
        # SQLite has one writer: queueing here is fair, where its busy handler polls (p99 631 -> 40 ms).
        self._writer: asyncio.Lock | nullcontext[None] = asyncio.Lock() if self.is_sqlite else nullcontext()
        if self.is_sqlite:
            _configure_sqlite(self.engine)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for a single query, outside any transaction.

        :raises DatabaseError: the database is away or too busy.
        """
        with _typed_errors():
            async with self.engine.connect() as connection:
                yield await connection.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed on exit.

        :raises DatabaseError: the database is away or too busy; nothing was written.
        """
        with _typed_errors():
            async with self._writer, self.engine.begin() as connection:
                yield connection

    async def ping(self) -> None:
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self.engine.dispose()


@contextmanager
def _typed_errors() -> Iterator[None]:
    try:
        yield
    except (OperationalError, PoolTimeoutError, OSError) as error:
        raise DatabaseError("The database did not answer, so nothing was done.", retry_after=5) from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise DatabaseError("The database went away, so nothing was done.", retry_after=5) from error


def _configure_sqlite(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _: object) -> None:  # noqa: ANN401 - the driver's own type
        connection.isolation_level = None  # the driver must not open deferred transactions of its own
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: Any) -> None:  # noqa: ANN401 - as above
        # A deferred transaction that reads and then writes fails at once when another process has written in between.
        if connection.get_isolation_level() != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
