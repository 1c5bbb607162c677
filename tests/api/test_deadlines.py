"""`deadlines.request` bounds a request in every part of it; what it can't wait for any longer is told truly."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import update
from starlette.types import ASGIApp

from sandbox.server import Sandbox
from service.base.db import Database
from service.base.settings import Settings
from service.base.tables import keys
from tests.api.asgi import RawRequest
from tests.conftest import Connect, MakeKey, Serve
from tests.locks import writer_busy
from tests.marks import only_sqlite

pytestmark = pytest.mark.asyncio
LONG = timedelta(minutes=2)
SOON = 15
"""Seconds in which something must be answered that would wait for minutes without the deadline."""


@pytest_asyncio.fixture
async def hasty(settings: Settings, serve: Serve) -> AsyncIterator[ASGIApp]:
    """An app that waits long for its database and for AWS, but for two seconds in one request."""
    deadlines = settings.deadlines.model_copy(
        update={"request": timedelta(seconds=2), "aws_read": LONG, "settle_grace": LONG}
    )
    database = settings.database.model_copy(update={"timeout": LONG})
    async with serve(settings.model_copy(update={"deadlines": deadlines, "database": database})) as app:
        yield app


@pytest_asyncio.fixture
async def secret(make_key: MakeKey) -> str:
    return await make_key("admin")


@pytest_asyncio.fixture
async def hurried(hasty: ASGIApp, connect: Connect, secret: str) -> httpx.AsyncClient:
    return connect(hasty, secret)


async def test_a_read_waits_for_no_writer_though_the_use_of_its_key_is_noted(
    hurried: httpx.AsyncClient, database: Database, database_url: str
) -> None:
    async with database.write() as connection:
        await connection.execute(update(keys).values(last_used_at=None))
    async with asyncio.timeout(SOON):
        async with writer_busy(database_url):
            answer = await hurried.get("/v1/keys")
    assert answer.status_code == 200
    async with asyncio.timeout(SOON):
        while not await _is_noted(hurried):
            pass


async def test_a_change_waits_for_the_writer_until_its_deadline(
    hurried: httpx.AsyncClient, aws: Sandbox, database_url: str
) -> None:
    async with asyncio.timeout(SOON):
        async with writer_busy(database_url):
            answer = await hurried.post("/v1/repositories", json={"name": "team/app"})
    assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")
    assert "CreateRepository" not in [call.operation for call in aws.calls()]


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "first"}])
async def test_an_outcome_that_can_not_be_recorded_in_time_is_unknown(
    hurried: httpx.AsyncClient, aws: Sandbox, database_url: str, key: dict[str, str]
) -> None:
    hold = aws.hold("CreateRepository", when="after")
    asked = asyncio.create_task(hurried.post("/v1/repositories", json={"name": "team/app"}, headers=key))
    assert await asyncio.to_thread(hold.reached, SOON)
    async with asyncio.timeout(SOON):
        async with writer_busy(database_url):
            hold.release()
            answer = await asked
    assert (answer.status_code, answer.json()["code"]) == (503, "outcome_unknown")
    [row] = (await hurried.get("/v1/audit", params={"action": "repository.create", "status": "pending"})).json()[
        "items"
    ]
    assert row["target"].endswith("team/app")


@only_sqlite
async def test_a_read_of_aws_ends_at_the_deadline(hurried: httpx.AsyncClient, aws: Sandbox) -> None:
    hold = aws.hold("DescribeRepositories")
    async with asyncio.timeout(SOON):
        answer = await hurried.get("/v1/repositories")
    hold.release()
    assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")


@only_sqlite
@pytest.mark.parametrize("parts", [[], [b'{"name": ']])
async def test_a_body_that_never_comes_is_not_waited_for(
    settings: Settings, serve: Serve, secret: str, parts: list[bytes]
) -> None:
    deadlines = settings.deadlines.model_copy(update={"request": LONG, "body": timedelta(milliseconds=100)})
    request = RawRequest("POST", "/v1/repositories", secret, {"content-type": "application/json"})
    for part in parts:
        request.send(part, more=True)
    async with serve(settings.model_copy(update={"deadlines": deadlines})) as app, asyncio.timeout(SOON):
        await request.run(app)
    assert (request.status, json.loads(request.body)["code"]) == (408, "request_timeout")
    assert request.headers["connection"] == "close"


async def _is_noted(client: httpx.AsyncClient) -> bool:
    [key] = (await client.get("/v1/keys")).json()["items"]
    return bool(key["last_used_at"])
