"""Brings the database to the tables of this version."""

from importlib.resources import files

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from service.base.db import Database

_ADVISORY_LOCK = 5714_0001
"""An arbitrary number that is ours: replicas that start together migrate one after another."""

log = structlog.get_logger()


async def migrate(database: Database) -> None:
    """Apply what is missing; safe to run from several replicas at once.

    A database that a newer version has migrated is left as it is. During an upgrade the replicas of the version before
    serve on it anyway, so a migration must let them; then one of them may start there too, and an upgrade be undone.

    :raises DatabaseError: the database is away or stays locked.
    """
    async with database.write() as connection:
        if not database.is_sqlite:
            await connection.execute(text("SET LOCAL lock_timeout = '10s'"))
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
        await connection.run_sync(_upgrade)


def config(connection: Connection) -> Config:
    """Alembic's configuration, on an open connection."""
    made = Config()
    made.set_main_option("script_location", str(files("migrations")))
    made.attributes["connection"] = connection
    return made


def _upgrade(connection: Connection) -> None:
    made = config(connection)
    if newer := _newer(connection, made):
        log.warning("database_is_newer", revisions=sorted(newer))
        return
    command.upgrade(made, "head")


def _newer(connection: Connection, made: Config) -> set[str]:
    """What the database was brought to that this version does not know."""
    known = {one.revision for one in ScriptDirectory.from_config(made).walk_revisions()}
    return set(MigrationContext.configure(connection).get_current_heads()) - known
