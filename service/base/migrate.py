"""Brings the database to the tables of this version."""

from importlib.resources import files

from sqlalchemy import Connection, column, inspect, select, table, text

from service.base.db import Database

_ADVISORY_LOCK = 5714_0001
"""An arbitrary number that is ours: replicas that start together migrate one after another."""
_VERSION = table("alembic_version", column("version_num"))


async def migrate(database: Database) -> None:
    """Apply what is missing; safe to run from several replicas at once.

    A database that a newer version has migrated is left as it is. During an upgrade the replicas of the version before
    serve on it anyway, so a migration must let them; then one of them may start there too, and an upgrade be undone.

    :raises DatabaseError: the database is away or stays locked.
    """
    async with database.read() as connection:
        if await connection.run_sync(_is_current):
            return
    from service.base.revisions import upgrade  # noqa: PLC0415 - most starts need no Alembic: 60 ms and 7 MiB of each

    async with database.write() as connection:
        if not database.is_sqlite:
            await connection.execute(text("SET LOCAL lock_timeout = '10s'"))
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
        await connection.run_sync(upgrade)


def _is_current(connection: Connection) -> bool:
    if not inspect(connection).has_table(_VERSION.name):
        return False
    return connection.execute(select(_VERSION.c.version_num)).scalars().all() == [_latest()]


def _latest() -> str:
    """The revision that the last of the migrations is named after."""
    names = (one.name for one in (files("migrations") / "versions").iterdir())
    return max(name.partition("_")[0] for name in names if name[0].isdigit())
