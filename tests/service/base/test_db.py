"""The database below its tables: the embedded one on the disk, and what its settings do."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError

from service.base.clock import utcnow
from service.base.db import Database
from service.base.errors import DatabaseError
from service.base.migrate import migrate
from service.base.settings import DatabaseSettings, Settings
from service.base.tables import idempotency_keys
from service.operations.ledger import Ledger
from tests.marks import only_sqlite
from tests.service.calls import intent, make_call

_PRAGMAS = select(
    text("journal_mode, synchronous, foreign_keys FROM pragma_journal_mode, pragma_synchronous, pragma_foreign_keys")
)
_FULL = 2


def mode(path: Path) -> str:
    return oct(path.stat().st_mode & 0o777)


@pytest.mark.asyncio
async def test_the_folder_and_the_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    database = Database(Settings(data_dir=folder))
    await migrate(database)
    files = {one.name: mode(one) for one in folder.iterdir()}
    await database.close()
    assert mode(folder) == "0o700"
    assert set(files.values()) == {"0o600"}
    assert len(files) == 3, files  # SQLite's write-ahead log has two of its own


@pytest.mark.asyncio
async def test_a_file_of_an_older_version_becomes_private(tmp_path: Path) -> None:
    first = Database(Settings(data_dir=tmp_path))
    await migrate(first)
    await first.close()
    file = tmp_path / "wharfinger.db"
    file.chmod(0o644)
    await Database(Settings(data_dir=tmp_path)).close()
    assert mode(file) == "0o600"


async def ask(database: Database) -> None:
    async with database.read() as connection:
        await connection.execute(text("SELECT 1"))


@only_sqlite
@pytest.mark.asyncio
async def test_what_is_acknowledged_on_sqlite_survives_a_power_cut(database: Database) -> None:
    async with database.read() as connection:
        [asynchronous] = (await connection.execute(_PRAGMAS)).all()
    [blocking] = await database.fetch(_PRAGMAS)
    assert asynchronous == blocking == ("wal", _FULL, 1)


@pytest.mark.asyncio
async def test_a_key_stands_for_an_operation_that_is_there(database: Database) -> None:
    row = {"actor": "a", "key": "k", "operation_id": "none", "fingerprint": "f", "expires_at": utcnow()}
    with pytest.raises(IntegrityError):
        async with database.write() as connection:
            await connection.execute(insert(idempotency_keys).values(row))
    with pytest.raises(IntegrityError):
        await database.insert(idempotency_keys, [row])


@pytest.mark.asyncio
async def test_a_new_file_waits_for_who_writes_to_it_already(tmp_path: Path) -> None:
    """As replicas that start together do: the switch to the write-ahead log fails at once while another one writes."""
    database = Database(Settings(data_dir=tmp_path))
    with closing(sqlite3.connect(tmp_path / "wharfinger.db", isolation_level=None)) as other:
        other.execute("CREATE TABLE others (id)")
        other.execute("BEGIN IMMEDIATE")
        opening = asyncio.create_task(ask(database))
        await asyncio.wait({opening}, timeout=0.3)
        other.execute("COMMIT")
        await opening
        assert other.execute("SELECT * FROM others").fetchall() == []
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    await database.close()


@pytest_asyncio.fixture
async def small(bare_settings: Settings) -> AsyncIterator[Database]:
    """Of two connections, which it does not wait for."""
    url = bare_settings.database.url
    settings = DatabaseSettings(url=url or SecretStr(""), pool_size=2, timeout=timedelta(milliseconds=100))
    opened = Database(bare_settings.model_copy(update={"database": settings}))
    yield opened
    await opened.close()


@pytest.mark.asyncio
async def test_the_pool_has_as_many_connections_as_are_set(small: Database) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(small.read())
        with pytest.raises(DatabaseError):
            await stack.enter_async_context(small.read())
    await ask(small)


@pytest.mark.asyncio
@pytest.mark.parametrize("odd", ["\ud800", "\x00", "é", 10**40], ids=ascii)
async def test_a_document_of_a_stranger_comes_back_as_it_was(database: Database, odd: object) -> None:
    """Half a surrogate pair and what is nested by the hundred, which not every writer of JSON takes."""
    document = deep = {"odd": odd}
    for _ in range(400):
        deep = {"below": deep}
    ledger = Ledger(database=database, remember=timedelta(hours=1))
    for request in (document, deep):
        operation_id = await ledger.open(make_call(), replace(intent(), request=request))
        assert (await ledger.find(operation_id)).request == request
