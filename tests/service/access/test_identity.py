"""Keys: who holds which, when they end, and when their use is noted."""

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy import event, select, update

from service.access.actions import Role
from service.access.authz import Binding
from service.access.identity import Identity, hash_secret, is_well_formed, new_secret
from service.base.clock import utcnow
from service.base.db import Database
from service.base.errors import DatabaseError, UnauthenticatedError
from service.base.tables import key_secrets, keys
from tests.keys import store

pytestmark = pytest.mark.asyncio

DEVELOPER = Binding(role=Role.DEVELOPER, repository="team")
PAST = timedelta(seconds=-1)


async def last_used(database: Database) -> datetime | None:
    async with database.read() as connection:
        found: datetime | None = (await connection.execute(select(keys.c.last_used_at))).scalar_one()
    return found


async def use_last(database: Database, when: datetime | None) -> None:
    async with database.write() as connection:
        await connection.execute(update(keys).values(last_used_at=when))


async def test_a_key_tells_its_holder(database: Database) -> None:
    secret = await store(database, "ci", [DEVELOPER])
    caller = await Identity(database=database).authenticate(secret)
    assert (caller.label, caller.bindings) == ("ci", (DEVELOPER,))


async def test_the_secret_itself_is_not_stored(database: Database) -> None:
    secret = await store(database, "ci", [DEVELOPER])
    async with database.read() as connection:
        assert (await connection.execute(select(key_secrets.c.sha256))).scalars().all() == [hash_secret(secret)]


@pytest.mark.parametrize("made_of", ["whf_", "whf_x", "Bearer", "whf_" + "a" * 44, "whf_" + "ä" * 43, "", None])
async def test_what_is_no_key_is_refused(database: Database, made_of: str | None) -> None:
    with pytest.raises(UnauthenticatedError):
        await Identity(database=database).authenticate(made_of)


async def test_a_key_that_nobody_holds_is_refused(database: Database) -> None:
    await store(database, "ci", [DEVELOPER])
    stranger = new_secret()
    assert is_well_formed(stranger)
    with pytest.raises(UnauthenticatedError):
        await Identity(database=database).authenticate(stranger)


async def test_an_expired_key_is_refused(database: Database) -> None:
    secret = await store(database, "ci", [DEVELOPER], expires_at=utcnow() + PAST)
    with pytest.raises(UnauthenticatedError):
        await Identity(database=database).authenticate(secret)


async def test_a_key_revoked_elsewhere_is_refused_at_once(database: Database) -> None:
    identity = Identity(database=database)
    secret = await store(database, "ci", [DEVELOPER])
    await identity.authenticate(secret)
    async with database.write() as connection:
        await connection.execute(update(keys).values(revoked_at=utcnow()))
    with pytest.raises(UnauthenticatedError):
        await identity.authenticate(secret)


async def test_a_secret_that_was_rotated_away_ends_alone(database: Database) -> None:
    identity = Identity(database=database)
    old, new = await store(database, "ci", [DEVELOPER]), await store(database, "ci", [DEVELOPER])
    async with database.write() as connection:
        rotated_away = key_secrets.c.sha256 == hash_secret(old)
        await connection.execute(update(key_secrets).where(rotated_away).values(expires_at=utcnow() + PAST))
    with pytest.raises(UnauthenticatedError):
        await identity.authenticate(old)
    assert (await identity.authenticate(new)).label == "ci"


async def test_use_is_noted_at_most_once_a_minute(database: Database) -> None:
    identity = Identity(database=database)
    secret = await store(database, "ci", [DEVELOPER])
    recent, stale = utcnow() - timedelta(seconds=50), utcnow() - timedelta(seconds=70)
    await use_last(database, recent)
    await identity.authenticate(secret)
    await identity.close()
    assert await last_used(database) == recent
    await use_last(database, stale)
    await identity.authenticate(secret)
    await identity.close()
    assert (await last_used(database) or stale) > recent


async def test_the_first_use_is_noted(database: Database) -> None:
    secret = await store(database, "ci", [DEVELOPER])
    await use_last(database, None)
    identity = Identity(database=database)
    await identity.authenticate(secret)
    await identity.close()
    assert await last_used(database) is not None


async def test_callers_who_come_together_share_queries_and_are_told_apart(database: Database) -> None:
    identity = Identity(database=database)
    labels = [f"caller-{number}" for number in range(20)]
    secrets = [await store(database, label, [DEVELOPER]) for label in labels]
    queries: list[str] = []
    event.listen(
        database.engine.sync_engine, "before_cursor_execute", lambda *happened: queries.append(str(happened[2]))
    )
    callers = await asyncio.gather(*map(identity.authenticate, secrets))
    assert [caller.label for caller in callers] == labels
    assert len([query for query in queries if "key_secrets" in query]) < len(labels) / 2


async def test_with_the_database_away_nobody_is_let_in(away: Database) -> None:
    with pytest.raises(DatabaseError):
        await Identity(database=away).authenticate(new_secret())
