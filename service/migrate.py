"""Brings the database to the tables of this version."""

from importlib.resources import files

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from service.db import Database

_ADVISORY_LOCK = 5714_0001
"""An arbitrary number that is ours: replicas that start together migrate one after another."""


async def migrate(database: Database) -> None:
    """Apply what is missing; safe to run from several replicas at once.

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
    command.upgrade(config(connection), "head")
