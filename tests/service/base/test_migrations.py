"""Migrations: they make the tables that the code describes, and triggers keep the audit trail as it was written."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, Executable, delete, event, insert, inspect, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from service.access.actions import Action, Step
from service.base.clock import new_id, utcnow
from service.base.db import Database
from service.base.migrate import _ADVISORY_LOCK, _latest, migrate
from service.base.revisions import config
from service.base.settings import DatabaseSettings, Settings
from service.base.tables import keys, operation_subjects, operations
from service.models.audit import Status
from service.operations.calls import Parent
from service.operations.ledger import Ledger
from tests.databases import PostgresServer
from tests.service.calls import intent, make_call

pytestmark = pytest.mark.asyncio


@pytest.fixture
def empty_settings(engine: str, postgres: PostgresServer, tmp_path: Path) -> Iterator[Settings]:
    """Of a database without any table."""
    if engine == "sqlite":
        yield Settings(data_dir=tmp_path)
        return
    with postgres.bare_database() as url:
        yield Settings(database=DatabaseSettings(url=SecretStr(url)))


async def test_the_migrations_make_the_tables_of_the_code(database: Database) -> None:
    async with database.write() as connection:
        # Raises where a difference is left.
        await connection.run_sync(lambda found: command.check(config(found)))


async def test_what_is_migrated_already_stays_as_it_is(database: Database) -> None:
    ledger = Ledger(database=database, remember=timedelta(hours=1))
    await ledger.open(make_call(), intent())
    await migrate(database)
    async with database.read() as connection:
        assert len((await connection.execute(select(operations.c.id))).all()) == 1


async def test_replicas_that_start_together_migrate_once(empty_settings: Settings) -> None:
    replicas = [Database(empty_settings) for _ in range(4)]
    await asyncio.gather(*map(migrate, replicas))
    async with replicas[0].read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM alembic_version"))).scalar_one() == 1
    await asyncio.gather(*(replica.close() for replica in replicas))


async def test_the_last_migration_is_the_one_that_a_start_looks_for(database: Database) -> None:
    async with database.read() as connection:
        head = await connection.run_sync(lambda found: ScriptDirectory.from_config(config(found)).get_current_head())
        assert (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalars().all() == [head]
    assert _latest() == head


async def test_who_finds_nothing_to_do_waits_for_nobody(database: Database, bare_settings: Settings) -> None:
    starting = Database(bare_settings)
    async with database.write() as connection:
        if not database.is_sqlite:  # where any writer is in the way
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
        await migrate(starting)
    await starting.close()


async def test_a_database_that_a_newer_version_migrated_is_left_as_it_is(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = 'of-next-year'"))
    await migrate(database)
    async with database.read() as connection:
        assert (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalars().all() == [
            "of-next-year"
        ]


async def test_a_downgrade_takes_everything_away_and_can_be_undone(database: Database) -> None:
    def down(connection: Connection) -> None:
        command.downgrade(config(connection), "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]

    async with database.write() as connection:
        await connection.run_sync(down)
    await migrate(database)


async def test_keys_of_before_the_sides_of_bindings_can_still_do_all_that_they_could(database: Database) -> None:
    async with database.write() as connection:
        await connection.run_sync(lambda found: command.downgrade(config(found), "0003"))
        row = "'k', 'old', :bindings, '2026-01-01', 'cli'"
        bound = '[{"role": "deployer", "repository": "*", "registry": "*", "cluster": "demo", "namespace": "team"}]'
        statement = text(f"INSERT INTO keys (id, label, bindings, created_at, created_by) VALUES ({row})")  # noqa: S608 - ours
        await connection.execute(statement, {"bindings": bound})

    await migrate(database)

    async with database.read() as connection:
        [(bindings, is_written_out)] = (await connection.execute(select(keys.c.bindings, keys.c.is_written_out))).all()
    assert (bindings, is_written_out) == (json.loads(bound), False)


async def _refused(database: Database, statement: Executable) -> str:
    with pytest.raises(DBAPIError) as caught:
        async with database.write() as connection:
            await connection.execute(statement)
    return str(caught.value.orig)


async def test_a_completed_row_can_be_neither_changed_nor_deleted(database: Database) -> None:
    ledger = Ledger(database=database, remember=timedelta(hours=1))
    operation_id = await ledger.record(make_call(), intent(), Status.REFUSED, code="forbidden")
    row = operations.c.id == operation_id
    assert "immutable" in await _refused(database, update(operations).where(row).values(status="succeeded"))
    assert "immutable" in await _refused(database, update(operations).where(row).values(completed_at=None))
    assert "deleted" in await _refused(database, delete(operations).where(row))
    async with database.read() as connection:
        assert (await connection.execute(select(operations.c.status))).scalar_one() == Status.REFUSED


async def test_an_open_row_can_be_completed_but_not_deleted(database: Database) -> None:
    ledger = Ledger(database=database, remember=timedelta(hours=1))
    operation_id = await ledger.open(make_call(), intent())
    assert "deleted" in await _refused(database, delete(operations))
    assert await ledger.complete(operation_id, Status.SUCCEEDED)


_ROW_OF_BEFORE = """
    INSERT INTO operations (
        id, actor, actor_label, action, registry_name, target, request_id, request, status, started_at, deadline_at,
        completed_at
    ) VALUES (:id, 'a', 'a', :action, 'local', :target, 'r', :request, 'succeeded', :at, :at, :at)
"""


async def test_rows_of_before_are_found_by_each_of_their_targets(empty_settings: Settings) -> None:
    database = Database(empty_settings)
    at, rows = "2026-01-02 03:04:05.000006", {"team/app": "repository.create", "a/x,b": "token.pull"}
    async with database.write() as connection:
        await connection.run_sync(lambda found: command.upgrade(config(found), "0002"))
        for number, (name, action) in zip("01", rows.items(), strict=True):
            request = '{"repositories": ["a/x", "b"]}' if action == "token.pull" else "{}"
            row = {"id": number, "action": action, "target": f"local/{name}", "request": request, "at": at}
            await connection.execute(text(_ROW_OF_BEFORE), row)

    await migrate(database)

    async with database.read() as connection:
        found = (await connection.execute(select(operation_subjects))).all()
    await database.close()
    vend = ["local/", "local/a/", "local/a/x", "local/a/x,b", "local/a/x/", "local/b", "local/b/"]
    assert sorted((row.operation_id, row.subject) for row in found) == [
        *(("0", subject) for subject in ("local/", "local/team/", "local/team/app", "local/team/app/")),
        *(("1", subject) for subject in vend),
    ]
    assert {row.completed_at.replace(tzinfo=None).isoformat(" ") for row in found} == {at}


async def test_a_row_of_the_version_before_is_found_by_its_target(database: Database) -> None:
    ledger = Ledger(database=database, remember=timedelta(hours=1))
    opened = await ledger.open(make_call(), intent())
    operation_id = new_id()
    async with database.write() as connection:
        row = (await connection.execute(select(operations).where(operations.c.id == opened))).mappings().one()
        await connection.execute(insert(operations).values({**row, "id": operation_id, "subjects": None}))

    await ledger.complete(operation_id, Status.SUCCEEDED)

    async with database.read() as connection:
        found = (await connection.execute(select(operation_subjects.c.subject))).scalars().all()
    assert found == ["local/team/app"]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("by", ["id", "rowid", "step"])
@pytest.mark.parametrize("verb", ["INSERT OR REPLACE", "REPLACE"])
async def test_a_row_is_not_replaced(database: Database, by: str, verb: str) -> None:
    """SQLite deletes what is in the way of a REPLACE, and asks no trigger on deletion."""
    ledger = Ledger(database=database, remember=timedelta(hours=1))
    operation_id = await ledger.record(make_call(), intent(), Status.REFUSED, code="forbidden")
    step = Parent(operation_id, "caller-1", "ci", "request-1", "demo/default/app")
    async with database.write() as connection:
        child_id = await ledger.add_child(connection, step, Action.DEPLOYMENT_CANCEL, {})
        before = (await connection.execute(select(operations).order_by(operations.c.id))).all()
    named = "id, status, actor, actor_label, action, target, request_id, request, started_at, deadline_at"
    forged = f"'{operation_id if by == 'id' else 'new'}', 'succeeded', 'me', 'me'"
    action = "action" if by == "step" else "'forged'"
    parent, rowid = ("parent_id", "NULL") if by == "step" else ("NULL", "rowid" if by == "rowid" else "NULL")
    source = f"FROM operations WHERE id = '{child_id if by == 'step' else operation_id}'"
    values = f"{rowid}, {parent}, {forged}, {action}, target, request_id, request, started_at, deadline_at"
    with suppress(DBAPIError):
        async with database.write() as connection:
            await connection.execute(
                text(f"{verb} INTO operations (rowid, parent_id, {named}) SELECT {values} {source}")
            )
    async with database.read() as connection:
        assert (await connection.execute(select(operations).order_by(operations.c.id))).all() == before


async def test_who_asked_for_what_stays_as_it_was_opened(database: Database) -> None:
    ledger = Ledger(database=database, remember=timedelta(hours=1))
    operation_id = await ledger.open(make_call(), replace(intent(), keeps_before=True))
    forged: dict[str, object] = {
        "id": "another",
        "actor": "me",
        "actor_label": "me",
        "action": "key.create",
        "registry_name": "other",
        "target": "local/other",
        "request_id": "r",
        "request": {"name": "other"},
        "started_at": utcnow() - timedelta(days=1),
        "parent_id": "a parent",
        "replay_of": "a twin",
        "client_address": "::1",
        "subjects": [],
        "item": "another",
    }
    row = operations.c.id == operation_id
    for name, value in forged.items():
        assert "who asked for what" in await _refused(database, update(operations).where(row).values({name: value}))
    assert await ledger.keep(operation_id, {"digest": "a"}, ())
    changed = update(operations).where(row).values(before={"was": {"digest": "b"}})
    assert "before is immutable" in await _refused(database, changed)
    assert await ledger.complete(operation_id, Status.SUCCEEDED, result={})


async def test_a_step_is_one_row_however_often_it_is_opened(database: Database) -> None:
    ledger = Ledger(database=database, remember=timedelta(hours=1))
    parent = Parent(await ledger.open(make_call(), intent()), "caller-1", "ci", "request-1", "demo/default/app")

    async def allow(_: AsyncConnection) -> None: ...

    opened = [
        await ledger.open_child(parent, Step.APPLY_SERVICE, {}, within=timedelta(seconds=9), guard=allow)
        for _ in range(2)
    ]
    assert opened[0] == opened[1]


_STEP_OF_BEFORE = """
    INSERT INTO operations (
        id, parent_id, actor, actor_label, action, registry_name, target, request_id, request, status, started_at,
        deadline_at
    ) VALUES (:id, 'parent', 'a', 'a', 'cluster.apply_service', 'local', 't', 'r', '{}', 'pending', :at, :at)
    ON CONFLICT (parent_id, action) DO NOTHING
"""


async def test_a_step_of_the_version_before_is_one_row_on_tables_that_were_upgraded_amid_its_work(
    empty_settings: Settings,
) -> None:
    database = Database(empty_settings)
    at = "2026-01-02 03:04:05.000006"
    async with database.write() as connection:
        await connection.run_sync(lambda found: command.upgrade(config(found), "0006"))
        parent = {"id": "parent", "action": "deployment.create", "target": "t", "request": "{}", "at": at}
        await connection.execute(text(_ROW_OF_BEFORE), parent)
        await connection.execute(text(_STEP_OF_BEFORE), {"id": "before", "at": at})

    await migrate(database)

    async with database.write() as connection:
        await connection.execute(text(_STEP_OF_BEFORE), {"id": "again", "at": at})
    ledger = Ledger(database=database, remember=timedelta(hours=1))
    who = Parent("parent", "a", "a", "r", "t")

    async def allow(_: AsyncConnection) -> None: ...

    child = await ledger.open_child(who, Step.APPLY_SERVICE, {}, within=timedelta(minutes=1), guard=allow)
    async with database.read() as connection:
        found = (await connection.execute(select(operations.c.id).order_by(operations.c.id))).scalars().all()
        [left] = await connection.run_sync(_differences)
    await database.close()
    assert (child.id, found) == ("before", ["before", "parent"])
    # What replicas of the version before insert by: the release after this one drops it.
    assert (left[0], left[1].name) == ("remove_index", "ix_operations_child")


def _differences(connection: Connection) -> Sequence[Any]:
    """What the tables of the code lack, or have beyond the database's."""
    found: Sequence[Any] = compare_metadata(MigrationContext.configure(connection), SQLModel.metadata)
    return found


@pytest.mark.parametrize("cut", ["CREATE INDEX ix_jobs_actor", "UPDATE alembic_version SET version_num='0007'"])
async def test_a_migration_that_is_cut_off_leaves_nothing_and_is_made_at_the_next_start(
    empty_settings: Settings, cut: str
) -> None:
    database = Database(empty_settings)
    async with database.write() as connection:
        await connection.run_sync(lambda found: command.upgrade(config(found), "0006"))
    before = await _tables(database)

    def die(_: object, __: object, statement: str, *___: object) -> None:
        if statement.startswith(cut):
            raise ZeroDivisionError

    event.listen(Engine, "before_cursor_execute", die)
    with pytest.raises(ZeroDivisionError):
        await migrate(database)
    event.remove(Engine, "before_cursor_execute", die)

    assert await _tables(database) == before
    await migrate(database)
    async with database.read() as connection:
        assert await connection.run_sync(_differences) == []
    await database.close()


async def _tables(database: Database) -> dict[str, list[str]]:
    """Their columns and indexes."""

    def look(connection: Connection) -> dict[str, list[str]]:
        found = inspect(connection)
        return {
            table: sorted(str(one["name"]) for one in (*found.get_columns(table), *found.get_indexes(table)))
            for table in found.get_table_names()
        }

    async with database.read() as connection:
        return await connection.run_sync(look)
