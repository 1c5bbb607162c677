"""A cluster that goes away while a deployment is under way."""

from typing import Any

import httpx
import pytest
import pytest_asyncio

from sandbox.server import Sandbox
from tests.images import publish

pytestmark = pytest.mark.asyncio
BODY: dict[str, Any] = {"cluster": "demo", "name": "myapp", "image": "myapp:1", "port": 8080}


@pytest_asyncio.fixture(autouse=True)
async def pushed(aws: Sandbox) -> None:
    await publish(aws, "myapp", "1")


async def deploy(client: httpx.AsyncClient, **changes: object) -> httpx.Response:
    return await client.post("/v1/deployments", params={"wait": "30"}, json=BODY | changes)


async def test_a_cluster_that_goes_away_is_waited_for(deployer: httpx.AsyncClient, aws: Sandbox) -> None:
    aws.fault("WATCH deployments", "error", times=2)
    made = await deploy(deployer)
    assert made.status_code == 200, made.text
    stream = (await deployer.get(f"{made.headers['location']}/events")).text
    assert "event: cluster_away\n" in stream
    assert made.json()["cluster_away_since"] is None


async def test_a_cluster_that_stays_away_is_the_reason_past_the_deadline(
    deployer: httpx.AsyncClient, aws: Sandbox
) -> None:
    aws.fault("WATCH deployments", "error", times=1000)
    failed = await deploy(deployer, progress_deadline="PT1S")
    assert (failed.status_code, failed.json()["code"]) == (409, "deployment_failed")
    assert failed.json()["deployment"]["reason"]["code"] == "cluster_unavailable"
