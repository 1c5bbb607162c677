"""SQLite's asynchronous driver, with one trip to the connection's thread for each statement.

The driver's own cursor goes there and back to be made, for the statement, for its rows and to be closed: those trips
were a third of what a short transaction took. Three members of aiosqlite's own are used for it (`_thread`, `_execute`
and `_conn`): `tests/service/base/test_sqlite_driver.py` fails where an upgrade moves them.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Self, cast

import aiosqlite

_CHUNK = 64
"""Rows that the driver's own cursor reads at once: none of ours does."""


async def connect(file: str, **options: Any) -> aiosqlite.Connection:  # noqa: ANN401 - those of `sqlite3.connect`
    """For `async_creator_fn`, by which SQLAlchemy is told how to connect."""
    connection = OneTripConnection(partial(sqlite3.connect, file, **options), _CHUNK)
    connection._thread.daemon = True  # noqa: SLF001 - as SQLAlchemy has those that it opens itself
    return await connection


class OneTripConnection(aiosqlite.Connection):
    def cursor(self) -> "OneTripCursor":  # type: ignore[override] # as SQLAlchemy uses it
        return OneTripCursor(self)

    async def run(self, act: Callable[[sqlite3.Connection], sqlite3.Cursor]) -> tuple[sqlite3.Cursor, list[Any]]:
        """The cursor that `act` gives, closed, and its rows."""
        done = await self._execute(_run, self._conn, act)  # type: ignore[no-untyped-call] # the driver's own way there
        return cast("tuple[sqlite3.Cursor, list[Any]]", done)


class OneTripCursor:
    """Whatever a statement gives is here once it was executed."""

    def __init__(self, connection: OneTripConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Self:
        return await self._run(lambda connection: connection.execute(statement, parameters))

    async def executemany(self, statement: str, parameters: Iterable[Sequence[Any]]) -> Self:
        return await self._run(lambda connection: connection.executemany(statement, parameters))

    async def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        """It is closed already."""

    async def _run(self, act: Callable[[sqlite3.Connection], sqlite3.Cursor]) -> Self:
        cursor, self._rows = await self._connection.run(act)
        self.description, self.rowcount, self.lastrowid = cursor.description, cursor.rowcount, cursor.lastrowid
        return self


def _run(
    connection: sqlite3.Connection, act: Callable[[sqlite3.Connection], sqlite3.Cursor]
) -> tuple[sqlite3.Cursor, list[Any]]:
    cursor = act(connection)
    rows = cursor.fetchall() if cursor.description else []
    cursor.close()
    return cursor, rows
