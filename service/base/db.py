"""The database: SQLite embedded, PostgreSQL shared, one way to read and one to write."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

from sqlalchemy import (
    URL,
    ColumnElement,
    CompoundSelect,
    Engine,
    Row,
    Select,
    Table,
    create_engine,
    event,
    func,
    insert,
    literal,
    make_url,
)
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool

from service.base.clock import utcnow
from service.base.errors import DatabaseError
from service.base.settings import Settings, StartupError
from service.base.tables import UtcDateTime

Query = Select[Any] | CompoundSelect[Any]

_WRITES = "writes"
"""The execution option of connections that are for writing."""
_PATIENCE = 0.25
_MOST_SWITCHES = 20
"""Of a file to WAL, where other processes begin at the same time."""
_READ_ONLY = "25006"
"""read_only_sql_transaction: what a standby answers that was the primary before."""


class _Lane:
    """Connections of their own, which nobody of another lane takes or waits for: to read by, and to write by."""

    def __init__(self, engine: AsyncEngine, *, is_sqlite: bool) -> None:
        self.reading = engine if is_sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")
        self.writing = engine.execution_options(**{_WRITES: True})


class Database:
    """Short transactions only: nothing here is open while AWS is asked."""

    def __init__(self, settings: Settings) -> None:
        url = make_url(settings.database_url)
        self.is_sqlite = url.get_backend_name() == "sqlite"
        timeout = self._timeout = settings.database.timeout.total_seconds()
        if self.is_sqlite and url.database and url.database != ":memory:":
            _make_private(Path(url.database))
        engine_of = partial(
            create_async_engine,
            url,
            connect_args=_connect_args(timeout, is_sqlite=self.is_sqlite),
            max_overflow=0,
            pool_timeout=timeout,
            pool_pre_ping=not self.is_sqlite,
            hide_parameters=True,
        )
        self.engine: AsyncEngine = engine_of(pool_size=settings.database.pool_size)
        # SQLite has one writer: queueing here is fair, where its busy handler polls (p99 631 -> 40 ms). What is urgent
        # waits for the present writer alone, and not in the queue to be the next.
        self._queue, self._writer = self._turns(), self._turns()
        self._blocking: Engine | None = None
        if self.is_sqlite:
            _configure_sqlite(self.engine.sync_engine, patience=_PATIENCE)
            self._blocking = _blocking_engine(url, timeout)
        urgent = self.engine if self.is_sqlite else engine_of(pool_size=1)
        self._usual, self._urgent = (_Lane(one, is_sqlite=self.is_sqlite) for one in (self.engine, urgent))
        self.engines = {self.engine, urgent}
        """Of both lanes."""

    def _turns(self) -> asyncio.Lock | nullcontext[None]:
        return asyncio.Lock() if self.is_sqlite else nullcontext()

    @asynccontextmanager
    async def read(self, *, is_urgent: bool = False) -> AsyncIterator[AsyncConnection]:
        """A connection for a single query, outside any transaction.

        :param is_urgent: see `write`.
        :raises DatabaseError: the database is away or too busy.
        """
        lane = self._urgent if is_urgent else self._usual
        with _typed_errors():
            async with lane.reading.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self, *, is_urgent: bool = False) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed on exit.

        :param is_urgent: go before all that waits already, on PostgreSQL by a connection of its own. It is for what
            keeps leases, which would come too late behind the work that they are for.
        :raises DatabaseError: the database is away or too busy; nothing was written.
        """
        with _typed_errors():
            async with nullcontext() if is_urgent else self._queue, self._writer, AsyncExitStack() as stack:
                yield await self._begin(stack, self._urgent if is_urgent else self._usual)

    async def _begin(self, stack: AsyncExitStack, lane: _Lane) -> AsyncConnection:
        """Begin once no other process writes. SQLite's own wait is short, as it can't be cancelled in its thread."""
        ends = asyncio.get_running_loop().time() + self._timeout
        while True:
            try:
                return await stack.enter_async_context(lane.writing.begin())
            except OperationalError as error:
                if not _is_locked(error) or asyncio.get_running_loop().time() >= ends:
                    raise

    async def fetch(
        self, query: Query, parameters: Mapping[str, Any] | None = None, *, is_urgent: bool = False
    ) -> Sequence[Row[Any]]:
        """All rows of a hot query, outside any transaction.

        :param is_urgent: see `write`.
        :raises DatabaseError: the database is away or too busy.
        """
        if self._blocking is not None:
            return await asyncio.to_thread(self._fetch, self._blocking, query, parameters)
        async with self.read(is_urgent=is_urgent) as connection:
            rows: Sequence[Row[Any]] = (await connection.execute(query, parameters)).all()
        return rows

    async def insert(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows in one transaction, on a hot path.

        :raises DatabaseError: the database is away or too busy; nothing was written.
        """
        if self._blocking is None:
            async with self.write() as connection:
                await connection.execute(insert(table), rows)
            return
        async with self._queue, self._writer:
            await asyncio.to_thread(self._insert, self._blocking, table, rows)

    def _fetch(self, engine: Engine, query: Query, parameters: Mapping[str, Any] | None) -> Sequence[Row[Any]]:
        with _typed_errors(), engine.connect() as connection:
            rows: Sequence[Row[Any]] = connection.execute(query, parameters).all()
        return rows

    def _insert(self, engine: Engine, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        with _typed_errors(), engine.execution_options(**{_WRITES: True}).begin() as connection:
            connection.execute(insert(table), rows)

    async def notifications(self, channel: str) -> AsyncGenerator[None]:
        """One for each notification on a channel of PostgreSQL, by a connection beside the pool.

        :raises DatabaseError: the connection can't be made, or is lost.
        """
        import psycopg  # noqa: PLC0415 - a start on SQLite needs none of it: 9 MiB and 55 ms
        from psycopg.sql import SQL, Identifier  # noqa: PLC0415 - as above

        url = self.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        try:
            within = max(1, round(self._timeout))
            async with await psycopg.AsyncConnection.connect(
                url, autocommit=True, connect_timeout=within
            ) as connection:
                await connection.execute(SQL("LISTEN {}").format(Identifier(channel)))
                async for _ in connection.notifies():
                    yield
        except (psycopg.Error, OSError) as error:
            raise DatabaseError("The database does not notify.") from error

    def clock(self, ahead: timedelta = timedelta(0)) -> ColumnElement[datetime]:
        """The time by the database's clock where replicas share one, so that theirs need not agree."""
        if self.is_sqlite:
            return literal(utcnow() + ahead, UtcDateTime)
        return func.clock_timestamp() + ahead

    @property
    def connections_in_use(self) -> int:
        """Of the pool's."""
        return int(cast("QueuePool", self.engine.pool).checkedout())

    async def close(self) -> None:
        for engine in self.engines:
            await engine.dispose()
        if self._blocking is not None:
            self._blocking.dispose()


def _make_private(file: Path) -> None:
    """Make the folder and the file where they are missing, for their owner alone; a file that is there becomes so."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(f"the database has no folder: {error}") from error
    # Whatever is wrong with it is told when it is opened. SQLite gives the files beside it the same mode.
    with suppress(OSError):
        os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
        for one in (file, *(file.with_name(file.name + end) for end in ("-wal", "-shm"))):
            if one.exists():
                one.chmod(0o600)


def when_committed(connection: AsyncConnection, act: Callable[[], object]) -> None:
    """Call `act` as the transaction commits; never where it is rolled back."""
    event.listen(connection.sync_connection, "commit", lambda _: act(), once=True)


@contextmanager
def _typed_errors() -> Iterator[None]:
    try:
        yield
    except (OperationalError, PoolTimeoutError, OSError) as error:
        raise DatabaseError("The database did not answer, so nothing was done.", retry_after=5) from error
    except DBAPIError as error:
        if not error.connection_invalidated and getattr(error.orig, "sqlstate", None) != _READ_ONLY:
            raise
        raise DatabaseError("The database went away, so nothing was done.", retry_after=5) from error


def _is_locked(error: OperationalError) -> bool:
    return getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY


def _switch_to_wal(cursor: Any) -> None:  # noqa: ANN401 - the driver's own type
    """SQLite does not wait for another process that switches a new file just now: "database is locked", at once.

    To begin writing does wait for it.
    """
    for _ in range(_MOST_SWITCHES):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute("ROLLBACK")
        else:
            return


def _connect_args(timeout: float, *, is_sqlite: bool) -> dict[str, Any]:
    """:param timeout: in seconds."""
    if is_sqlite:
        return {"timeout": timeout}
    return {"connect_timeout": max(1, round(timeout)), "prepare_threshold": 1}


def _blocking_engine(url: URL, timeout: float) -> Engine:
    """For SQLite: the asynchronous driver goes to its thread and back for each cursor, statement and fetch.

    Whoever calls this one goes to a thread once for all.

    :param timeout: in seconds.
    """
    engine = create_engine(url.set(drivername="sqlite"), connect_args={"timeout": timeout}, hide_parameters=True)
    _configure_sqlite(engine, patience=timeout)
    return engine


def _configure_sqlite(engine: Engine, *, patience: float) -> None:
    """:param patience: seconds that a statement waits in its thread for another process."""

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _: object) -> None:  # noqa: ANN401 - the driver's own type
        connection.isolation_level = None  # the driver must not open deferred transactions of its own
        cursor = connection.cursor()
        _switch_to_wal(cursor)
        # In memory is what undoes a statement whose triggers fail: in files, it was most of what an insert wrote.
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
            cursor.execute(f"PRAGMA {pragma}")
        # Last: who is first to open the file switches it to WAL, which takes what time it takes.
        cursor.execute(f"PRAGMA busy_timeout={round(patience * 1000)}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Any) -> None:  # noqa: ANN401 - as above
        # A deferred transaction that reads and then writes fails at once when another process has written in between.
        # A read needs none: without BEGIN the driver is in autocommit mode.
        if connection.get_execution_options().get(_WRITES):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
