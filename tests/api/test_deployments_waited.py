"""What a wait that ends before the rollout does says of asking again."""

import asyncio
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text

from sandbox.server import Sandbox
from service.base.db import Database
from tests.images import publish
from tests.marks import only_sqlite

pytestmark = pytest.mark.asyncio
BODY: dict[str, Any] = {
    "cluster": "demo",
    "name": "myapp",
    "image": "myapp:1",
    "port": 8080,
    "env": {"SANDBOX_READY_AFTER": "never"},
}


@pytest_asyncio.fixture(autouse=True)
async def pushed(aws: Sandbox) -> None:
    await publish(aws, "myapp", "1")


@pytest.mark.parametrize(("headers", "is_safe"), [({}, False), ({"Idempotency-Key": "once"}, True)])
async def test_a_deploy_may_be_asked_for_again_where_a_key_makes_it_the_same(
    deployer: httpx.AsyncClient, headers: dict[str, str], *, is_safe: bool
) -> None:
    first = await deployer.post("/v1/deployments", params={"wait": "0.1"}, json=BODY, headers=headers)
    assert (first.status_code, first.json()["code"]) == (504, "wait_timeout")
    assert first.json()["retryable"] is is_safe
    assert ("retry-after" in first.headers) is is_safe
    again = await deployer.post("/v1/deployments", params={"wait": "0.1"}, json=BODY, headers=headers)
    assert (again.headers["location"] == first.headers["location"]) is is_safe


@only_sqlite
async def test_a_wait_outlasts_a_database_that_is_away(
    deployer: httpx.AsyncClient, aws: Sandbox, database: Database
) -> None:
    rolling = aws.hold("WATCH pods")
    waiting = asyncio.create_task(deployer.post("/v1/deployments", params={"wait": "1"}, json=BODY | {"env": {}}))
    assert await asyncio.to_thread(rolling.reached, 10)
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE deployments RENAME TO away"))
    answer = await waiting
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE away RENAME TO deployments"))
    rolling.release()
    assert (answer.status_code, answer.json()["code"], answer.json()["retryable"]) == (504, "wait_timeout", False)
    ended = await deployer.get(answer.headers["location"], params={"wait": "30"})
    assert (ended.status_code, ended.json()["status"]) == (200, "succeeded")


async def test_to_look_again_is_always_safe(deployer: httpx.AsyncClient) -> None:
    made = await deployer.post("/v1/deployments", json=BODY)
    waited = await deployer.get(made.headers["location"], params={"wait": "0.1"})
    assert (waited.status_code, waited.json()["retryable"]) == (504, True)
    assert "retry-after" in waited.headers


async def test_a_wait_of_nothing_is_no_wait(deployer: httpx.AsyncClient) -> None:
    made = await deployer.post("/v1/deployments", params={"wait": "0"}, json=BODY)
    assert (made.status_code, made.json()["kind"]) == (202, "deploy"), made.text
    gone = await deployer.delete(made.headers["location"], params={"wait": "0"})
    assert (gone.status_code, gone.json()["kind"]) == (202, "delete")
