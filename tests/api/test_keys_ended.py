"""Keys that are revoked or expire; the last admin stays."""

from datetime import timedelta

import httpx
import pytest
from sqlalchemy import update
from starlette.types import ASGIApp

from service.access.actions import Role
from service.access.authz import Binding
from service.base.clock import utcnow
from service.base.db import Database
from service.base.tables import keys
from tests.api.key_requests import ADMIN, make, status_of
from tests.conftest import Connect
from tests.keys import store

pytestmark = pytest.mark.asyncio


async def test_a_revoked_key_ends_at_once_with_all_its_secrets(
    bare_app: ASGIApp, bare_admin: httpx.AsyncClient, connect: Connect
) -> None:
    made = await make(bare_admin)
    rotated = (await bare_admin.post(f"/v1/keys/{made['id']}/rotations")).json()

    answer = await bare_admin.delete(f"/v1/keys/{made['id']}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert await status_of(bare_app, connect, made["secret"]) == 401
    assert await status_of(bare_app, connect, rotated["secret"]) == 401
    revoked_at = (await bare_admin.get(f"/v1/keys/{made['id']}")).json()["revoked_at"]
    again = await bare_admin.post(f"/v1/keys/{made['id']}/rotations")
    assert (again.status_code, again.json()["code"]) == (409, "key_revoked")
    assert (await bare_admin.delete(f"/v1/keys/{made['id']}")).status_code == 204
    assert (await bare_admin.get(f"/v1/keys/{made['id']}")).json()["revoked_at"] == revoked_at


async def test_an_expired_key_ends_by_itself_and_is_not_rotated(
    bare_app: ASGIApp, bare_admin: httpx.AsyncClient, connect: Connect, database: Database
) -> None:
    made = await make(bare_admin, expires_at=(utcnow() + timedelta(hours=1)).isoformat())
    assert await status_of(bare_app, connect, made["secret"]) == 200

    async with database.write() as connection:
        await connection.execute(update(keys).where(keys.c.id == made["id"]).values(expires_at=utcnow()))

    assert await status_of(bare_app, connect, made["secret"]) == 401
    answer = await bare_admin.post(f"/v1/keys/{made['id']}/rotations")
    assert (answer.status_code, answer.json()["code"]) == (409, "key_expired")


async def test_the_last_admin_key_stays(
    bare_app: ASGIApp, bare_admin: httpx.AsyncClient, connect: Connect, own_id: str, database: Database
) -> None:
    """Neither a narrower admin, nor one that is revoked or expired, can make another admin."""
    await make(bare_admin, bindings=[{"role": "admin", "repository": "team"}])
    revoked = await make(bare_admin, **ADMIN)
    assert (await bare_admin.delete(f"/v1/keys/{revoked['id']}")).status_code == 204
    await store(database, "expired", [Binding(role=Role.ADMIN)], expires_at=utcnow())

    refused = await bare_admin.delete(f"/v1/keys/{own_id}")

    assert (refused.status_code, refused.json()["code"]) == (409, "last_admin_key")
    assert (await bare_admin.get(f"/v1/keys/{own_id}")).json()["revoked_at"] is None
    [entry] = (await bare_admin.get("/v1/audit", params={"target": own_id})).json()["items"]
    assert (entry["action"], entry["status"], entry["code"]) == ("key.revoke", "failed", "last_admin_key")

    successor = await make(bare_admin, **ADMIN)
    assert (await bare_admin.delete(f"/v1/keys/{own_id}")).status_code == 204
    assert await status_of(bare_app, connect, successor["secret"]) == 200


async def test_a_repeated_revocation_is_answered_from_the_record(bare_admin: httpx.AsyncClient) -> None:
    url = f"/v1/keys/{(await make(bare_admin))['id']}"

    first = await bare_admin.delete(url, headers={"Idempotency-Key": "once"})
    repeat = await bare_admin.delete(url, headers={"Idempotency-Key": "once"})

    assert (first.status_code, repeat.status_code) == (204, 204)
    assert "Idempotency-Replayed" not in first.headers
    assert repeat.headers["Idempotency-Replayed"] == "true"


async def test_a_change_of_a_key_that_has_changed_is_refused(bare_admin: httpx.AsyncClient) -> None:
    url = f"/v1/keys/{(await make(bare_admin))['id']}"
    etag = (await bare_admin.get(url)).headers["ETag"]

    stale = {"If-Match": '"another state"'}
    assert (await bare_admin.post(f"{url}/rotations", headers=stale)).status_code == 412
    assert (await bare_admin.delete(url, headers=stale)).status_code == 412
    assert (await bare_admin.get(url)).json()["revoked_at"] is None
    assert (await bare_admin.delete(url, headers={"If-Match": etag})).status_code == 204
