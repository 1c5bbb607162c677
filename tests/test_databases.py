"""A database of PostgreSQL is given to one test after another; none finds what another left."""

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from tests.databases import PostgresServer

_OPERATION = """
INSERT INTO operations (id, actor, actor_label, action, target, request_id, request, status, started_at, deadline_at,
    completed_at, subjects)
VALUES ('1', 'a', 'a', 'repository.create', 'local/a', 'r', '{}', 'succeeded', now(), now(), now(), '["a"]')
"""
_IS_ENDED = "terminating connection due to administrator command"


def test_what_a_test_wrote_is_gone(postgres: PostgresServer) -> None:
    with postgres.database() as used, psycopg.connect(used) as connection:
        connection.execute(_OPERATION)  # completed, so a trigger keeps it, and another writes by what it is found
    with postgres.database() as url, psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        counts = {
            name: connection.execute(SQL("SELECT FROM {}").format(Identifier(name))).rowcount for [name] in tables
        }
    assert url == used
    assert {name for name, count in counts.items() if count} == {"alembic_version"}


def test_what_a_test_left_connected_is_ended(postgres: PostgresServer) -> None:
    with postgres.database() as url:
        left = psycopg.connect(url)
        left.execute(_OPERATION)
    with pytest.raises(psycopg.OperationalError, match=_IS_ENDED):
        left.execute("COMMIT")
    left.close()


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE keys ADD COLUMN more text",
        "CREATE TABLE more (id text)",
        "DROP INDEX ix_operations_open",
        "ALTER TABLE operations DISABLE TRIGGER operations_are_final",
        "CREATE OR REPLACE FUNCTION operations_are_final() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN END $$",
        "UPDATE alembic_version SET version_num = 'another'",
        "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET timezone = utc'; END $$",
        (
            "INSERT INTO keys (id, label, bindings, created_at, created_by)"
            " SELECT i, repeat('a', 128), '[]', now(), 'a' FROM generate_series(1, 20000) i"
        ),
    ],
)
def test_what_is_not_as_good_as_new_is_given_to_nobody(postgres: PostgresServer, change: str) -> None:
    with postgres.database() as used, psycopg.connect(used) as connection:
        connection.execute(change)
    with postgres.database() as url:
        assert url != used
