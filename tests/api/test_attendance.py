"""Waits and streams end with whoever waits: their connection, their key, the process that answers."""

import asyncio
import json
from collections.abc import AsyncGenerator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import pytest
import pytest_asyncio
from fastapi import Request
from sqlalchemy import select, update
from starlette.types import ASGIApp, Message

from api.http.attendance import Attendance
from api.http.deps import CONTAINER, READINESS, Readiness
from sandbox.server import Sandbox
from service.access.identity import hash_secret
from service.base.clock import utcnow
from service.base.db import Database
from service.base.tables import key_secrets, keys
from tests.api.asgi import RawRequest
from tests.conftest import Connect, MakeKey
from tests.images import publish
from tests.marks import only_sqlite

pytestmark = pytest.mark.asyncio
STUCK: dict[str, Any] = {
    "cluster": "demo",
    "name": "myapp",
    "image": "myapp:1",
    "port": 8080,
    "env": {"SANDBOX_READY_AFTER": "never"},
}
SOON = 10
"""Seconds in which something must end that would go on for a minute."""


@pytest_asyncio.fixture
async def stuck(aws: Sandbox, deployer: httpx.AsyncClient) -> str:
    """The path of a deployment that goes on for minutes."""
    await publish(aws, "myapp", "1")
    return str((await deployer.post("/v1/deployments", json=STUCK)).headers["location"])


@pytest_asyncio.fixture
async def secret(make_key: MakeKey) -> str:
    return await make_key("viewer", label="who waits")


async def test_a_wait_ends_when_its_caller_hangs_up(app: ASGIApp, stuck: str, secret: str) -> None:
    waiting = RawRequest("GET", f"{stuck}?wait=60", secret)
    waiting.send(b"")
    work = asyncio.create_task(waiting.run(app))
    async with asyncio.timeout(SOON):
        await waiting.is_listened_to.wait()
        waiting.hang_up()
        await work
    assert waiting.status == 499


@only_sqlite
async def test_a_wait_ends_with_the_process_that_answers_it(app: ASGIApp, stuck: str, secret: str) -> None:
    waiting = RawRequest("GET", f"{stuck}?wait=60", secret)
    waiting.send(b"")
    work = asyncio.create_task(waiting.run(app))
    async with asyncio.timeout(SOON):
        await waiting.is_listened_to.wait()
        waiting.state[READINESS].ending.set()
        await work
    problem = json.loads(waiting.body)
    assert (waiting.status, problem["code"], problem["retryable"]) == (503, "shutting_down", True)


@pytest.mark.parametrize("way", ["revoke", "expire"])
async def test_a_wait_ends_with_its_key(  # noqa: PLR0917 - each is a fixture
    app: ASGIApp, connect: Connect, database: Database, stuck: str, secret: str, way: str
) -> None:
    async with asyncio.timeout(SOON):
        waiting = asyncio.create_task(connect(app, secret).get(stuck, params={"wait": "60"}))
        await end_key(database, secret, way)
        answer = await waiting
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


async def test_an_event_stream_ends_with_its_key(
    app: ASGIApp, connect: Connect, database: Database, stuck: str, secret: str
) -> None:
    async with asyncio.timeout(SOON):
        following = RawRequest("GET", f"{stuck}/events", secret)
        following.send(b"")
        work = asyncio.create_task(following.run(app))
        await following.is_listened_to.wait()
        await end_key(database, secret, "revoke")
        await work
    assert following.status == 200
    assert b"event: accepted\n" in following.body
    assert (await connect(app, secret).get(f"{stuck}/events")).status_code == 401


async def test_a_stream_that_is_cut_ends_once_its_items_have() -> None:
    """Whoever cuts it (the framework, when its caller hangs up) goes on cancelling until it has ended."""
    state = {READINESS: Readiness(), CONTAINER: SimpleNamespace(identity=None)}
    request = Request({"type": "http", "headers": [], "state": state}, asyncio.Queue[Message]().get)
    is_over, cutting = False, anyio.CancelScope()

    async def items() -> AsyncGenerator[int]:
        nonlocal is_over
        try:
            yield 1
            asyncio.get_running_loop().call_soon(cutting.cancel)
            await asyncio.Event().wait()
        finally:
            for _ in range(10):  # as a connection takes its turns to be given back
                await asyncio.sleep(0)
            is_over = True

    with cutting:
        async for _ in Attendance(request).through(items()):
            pass
    assert is_over


async def end_key(database: Database, secret: str, way: str) -> None:
    of_secret = select(key_secrets.c.key_id).where(key_secrets.c.sha256 == hash_secret(secret)).scalar_subquery()
    change = {"revoke": {"revoked_at": utcnow()}, "expire": {"expires_at": utcnow() + timedelta(seconds=0.5)}}[way]
    async with database.write() as connection:
        await connection.execute(update(keys).where(keys.c.id == of_secret).values(change))
