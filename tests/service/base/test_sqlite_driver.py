"""SQLite by its asynchronous driver: a statement goes to the connection's thread once, and fails as the driver's do."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text

from service.base.db import Database
from service.base.settings import Settings
from service.base.sqlite_driver import OneTripConnection, connect

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def connection(tmp_path: Path) -> AsyncIterator[OneTripConnection]:
    opened = await connect(f"{tmp_path}/one.db")
    assert isinstance(opened, OneTripConnection)
    await opened.execute("CREATE TABLE said (word TEXT NOT NULL)")
    yield opened
    await opened.close()


@asynccontextmanager
async def busy(connection: OneTripConnection) -> AsyncIterator[None]:
    """The connection's thread does something else meanwhile."""
    released = threading.Event()
    await connection.create_function("wait", 0, released.wait)
    waiting = asyncio.create_task(connection.execute("SELECT wait()"))
    await asyncio.sleep(0)  # so that it is the first in the queue
    try:
        yield
    finally:
        released.set()
        await waiting


async def test_a_statement_takes_one_trip_whatever_it_gives(connection: OneTripConnection) -> None:
    async with asyncio.timeout(20):
        async with busy(connection):
            cursor = await connection.cursor().__aenter__()
        await cursor.execute("INSERT INTO said VALUES (?), (?) RETURNING word", ("a", "b"))
        async with busy(connection):
            assert [column[0] for column in cursor.description] == ["word"]
            assert await cursor.fetchall() == [("a",), ("b",)]
            assert await cursor.fetchall() == []
            await cursor.close()


async def test_many_rows_are_one_statement(connection: OneTripConnection) -> None:
    cursor = await connection.cursor().executemany("INSERT INTO said VALUES (?)", [("a",), ("b",), ("c",)])
    assert (cursor.rowcount, cursor.description, await cursor.fetchall()) == (3, None, [])


async def test_what_the_driver_refuses_is_its_own_error(connection: OneTripConnection) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="NOT NULL"):
        await connection.cursor().execute("INSERT INTO said VALUES (NULL)")


async def test_the_database_goes_that_way(tmp_path: Path) -> None:
    database = Database(Settings(data_dir=tmp_path))
    async with database.write() as connection:
        raw = await connection.get_raw_connection()
        assert isinstance(raw.driver_connection, OneTripConnection)
        assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
    await database.close()
