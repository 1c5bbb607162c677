"""The revisions of the tables that this version knows, by Alembic."""

from importlib.resources import files

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

log = structlog.get_logger()


def config(connection: Connection) -> Config:
    """Alembic's configuration, on an open connection."""
    made = Config()
    made.set_main_option("script_location", str(files("migrations")))
    made.attributes["connection"] = connection
    return made


def upgrade(connection: Connection) -> None:
    """Apply what is missing, unless a newer version was here."""
    made = config(connection)
    if newer := _newer(connection, made):
        log.warning("database_is_newer", revisions=sorted(newer))
        return
    command.upgrade(made, "head")


def _newer(connection: Connection, made: Config) -> set[str]:
    """What the database was brought to that this version does not know."""
    known = {one.revision for one in ScriptDirectory.from_config(made).walk_revisions()}
    return set(MigrationContext.configure(connection).get_current_heads()) - known
