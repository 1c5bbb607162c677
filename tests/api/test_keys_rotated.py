"""A rotated key: its old secrets go on for as long as was said, and no longer."""

from datetime import datetime, timedelta

import httpx
import pytest
from sqlalchemy import select
from starlette.types import ASGIApp

from service.access.identity import hash_secret
from service.base.clock import utcnow
from service.base.db import Database
from service.base.tables import key_secrets
from tests.api.key_requests import end_secret, make, status_of
from tests.conftest import Connect
from tests.marks import only_sqlite

pytestmark = pytest.mark.asyncio


async def test_a_rotated_key_overlaps_with_its_old_secret(
    bare_app: ASGIApp, bare_admin: httpx.AsyncClient, connect: Connect, database: Database
) -> None:
    made = await make(bare_admin)

    answer = await bare_admin.post(f"/v1/keys/{made['id']}/rotations")

    assert answer.status_code == 201
    rotated = answer.json()
    assert rotated["id"] == made["id"]
    overlap = datetime.fromisoformat(rotated["previous_until"]) - utcnow()
    assert timedelta(minutes=59) < overlap <= timedelta(hours=1)
    assert await status_of(bare_app, connect, made["secret"]) == 200
    assert await status_of(bare_app, connect, rotated["secret"]) == 200

    await end_secret(database, made["secret"])

    assert await status_of(bare_app, connect, made["secret"]) == 401
    assert await status_of(bare_app, connect, rotated["secret"]) == 200


async def test_without_an_overlap_every_old_secret_ends_at_once(
    bare_app: ASGIApp, bare_admin: httpx.AsyncClient, connect: Connect
) -> None:
    made = await make(bare_admin)
    rotations = f"/v1/keys/{made['id']}/rotations"
    second = (await bare_admin.post(rotations, json={"overlap_seconds": 604_800})).json()

    third = (await bare_admin.post(rotations, json={"overlap_seconds": 0})).json()

    assert await status_of(bare_app, connect, made["secret"]) == 401
    assert await status_of(bare_app, connect, second["secret"]) == 401
    assert await status_of(bare_app, connect, third["secret"]) == 200


async def test_a_longer_overlap_does_not_prolong_one_that_was_promised(
    bare_admin: httpx.AsyncClient, database: Database
) -> None:
    made = await make(bare_admin)
    rotations = f"/v1/keys/{made['id']}/rotations"
    await bare_admin.post(rotations, json={"overlap_seconds": 60})

    await bare_admin.post(rotations, json={"overlap_seconds": 604_800})

    query = select(key_secrets.c.expires_at).where(key_secrets.c.sha256 == hash_secret(made["secret"]))
    async with database.read() as connection:
        assert (await connection.execute(query)).scalar_one() < utcnow() + timedelta(minutes=2)


@only_sqlite
@pytest.mark.parametrize("seconds", [-1, 604_801, 1.5, "soon"])
async def test_an_overlap_is_a_week_at_most(bare_admin: httpx.AsyncClient, own_id: str, seconds: object) -> None:
    answer = await bare_admin.post(f"/v1/keys/{own_id}/rotations", json={"overlap_seconds": seconds})

    assert answer.status_code == 422
    assert [mistake["path"] for mistake in answer.json()["errors"]] == ["body.overlap_seconds"]
