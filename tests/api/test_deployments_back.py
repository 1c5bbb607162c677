"""Where a rollback goes."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from sandbox.server import Sandbox
from tests.api.deploying import BODY, deployed
from tests.images import publish

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture(autouse=True)
async def pushed(aws: Sandbox) -> None:
    await publish(aws, "myapp", "1", "2", "3")


async def back(client: httpx.AsyncClient, deployment: dict[str, Any], to: object) -> httpx.Response:
    path = f"/v1/deployments/{deployment['id']}/rollback"
    return await client.post(path, params={"wait": "30"}, json={"to": to})


async def test_it_goes_to_the_one_that_is_named_and_else_to_the_last_success(deployer: httpx.AsyncClient) -> None:
    first, second, third = [await deployed(deployer, image=f"myapp:{tag}") for tag in (1, 2, 3)]
    named = (await back(deployer, third, first["id"])).json()
    assert (named["digest"], named["rollback_to"]) == (first["digest"], first["id"])
    unnamed = (await back(deployer, third, None)).json()
    assert (unnamed["digest"], unnamed["rollback_to"]) == (second["digest"], second["id"])


async def test_it_does_not_go_where_nothing_ran(deployer: httpx.AsyncClient) -> None:
    stuck = await deployer.post("/v1/deployments", json=BODY | {"env": {"SANDBOX_READY_AFTER": "never"}})
    await deployer.post(f"{stuck.headers['location']}/cancel")
    other = await deployed(deployer, name="other")
    last = await deployed(deployer, image="myapp:2")
    removed = await deployer.delete(f"/v1/deployments/{last['id']}", params={"wait": "30"})
    assert removed.status_code == 200, removed.text
    for goal in (stuck.json()["id"], other["id"], removed.json()["id"], str(uuid4())):
        refused = await back(deployer, last, goal)
        assert (refused.status_code, refused.json()["code"]) == (409, "nothing_to_roll_back_to"), goal
