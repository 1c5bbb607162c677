"""What tests of keys ask for."""

import asyncio
from typing import Any

import httpx
from sqlalchemy import update
from starlette.types import ASGIApp

from service.access.identity import hash_secret
from service.base.clock import utcnow
from service.base.db import Database
from service.base.tables import key_secrets
from tests.conftest import Connect

ASKED: dict[str, object] = {"label": "ci of team", "bindings": [{"role": "developer", "repository": "team"}]}
ADMIN: dict[str, object] = {"label": "another admin", "bindings": [{"role": "admin"}]}


async def only_id(client: httpx.AsyncClient) -> str:
    [key] = (await client.get("/v1/keys")).json()["items"]
    return str(key["id"])


async def make(client: httpx.AsyncClient, **asked: object) -> dict[str, Any]:
    answer = await client.post("/v1/keys", json=ASKED | asked)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def status_of(app: ASGIApp, connect: Connect, secret: str) -> int:
    """What a caller with this key is answered where everybody with a key may read."""
    return (await connect(app, secret).get("/v1/audit")).status_code


async def shown_as_used(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    """A key once its use is noted, which nobody waits for who uses it."""
    async with asyncio.timeout(10):
        while True:
            shown: dict[str, Any] = (await client.get(url)).json()
            if shown["last_used_at"] is not None:
                return shown


async def end_secret(database: Database, secret: str) -> None:
    """Let the overlap of a secret be over."""
    async with database.write() as connection:
        ended = key_secrets.c.sha256 == hash_secret(secret)
        done = await connection.execute(update(key_secrets).where(ended).values(expires_at=utcnow()))
    assert done.rowcount == 1
