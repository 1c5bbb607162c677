"""A used database of PostgreSQL made as good as new: to copy a template and to drop it takes longer than most tests."""

from collections.abc import Sequence

import psycopg
from psycopg.rows import TupleRow

_CATALOGUES = ("pg_attribute", "pg_class", "pg_constraint", "pg_index", "pg_proc", "pg_trigger", "alembic_version")
_SETTINGS = (
    "SELECT count(*), NULL FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase"
    " WHERE datname = current_database()"
)
_SCHEMA = " UNION ALL ".join(
    [*(f"SELECT count(*), max(xmin::text::bigint) FROM {name}" for name in _CATALOGUES), _SETTINGS]  # noqa: S608 - names of ours
)
_END_OTHERS = (
    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
_EMPTY = """
DO $$
DECLARE
    one regclass;
BEGIN
    SET LOCAL session_replication_role = replica; -- without the triggers that keep the trail
    FOR one IN SELECT oid FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'
    LOOP
        EXECUTE 'DELETE FROM ' || one;
    END LOOP;
END $$
"""
_SIZE = "SELECT sum(pg_table_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
_SMALL = 2**21
"""In bytes. What was deleted still takes its place, and would change how the queries of the next test are planned."""

Schema = Sequence[TupleRow]


def schema_of(url: str) -> Schema:
    """Equal as long as nothing but rows has changed, in a database and in all copies of it."""
    with psycopg.connect(url) as connection:
        return connection.execute(_SCHEMA).fetchall()


def empty(url: str, schema: Schema) -> bool:
    """End all connections and delete all rows. False: it can't be made as new, as more than rows was changed."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_END_OTHERS)
        if connection.execute(_SCHEMA).fetchall() != schema:
            return False
        connection.execute(_EMPTY)
        return connection.execute(_SIZE).fetchall() < [(_SMALL,)]
