"""A cluster that goes away while a deployment is under way."""

from datetime import timedelta

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import update

from sandbox.server import Sandbox
from service.base.clock import utcnow
from service.base.db import Database
from service.base.settings import Settings
from service.base.tables import deployments
from tests.api.deploying import BODY, deploy
from tests.conftest import Connect, MakeKey, Serve
from tests.images import publish
from tests.sandbox.clients import deny_us, sdk

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture(autouse=True)
async def pushed(aws: Sandbox) -> None:
    await publish(aws, "myapp", "1")


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


async def test_aws_that_throttles_who_took_a_rollout_over_is_waited_for(
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey, aws: Sandbox
) -> None:
    secret = await make_key("deployer")
    async with serve(settings) as app:
        accepted = await connect(app, secret).post("/v1/deployments", json=BODY | {"on_failure": "rollback"})
    aws.fault("DescribeCluster", "throttle", times=6)
    async with serve(settings) as app:
        client = connect(app, secret)
        over = await client.get(accepted.headers["location"], params={"wait": "30"})
        stream = (await client.get(f"{accepted.headers['location']}/events")).text
    assert (over.status_code, over.json().get("status")) == (200, "succeeded"), over.text
    assert '"code":"aws_throttled"' in stream.replace(" ", "")


async def test_aws_that_fails_while_a_rollout_looks_for_its_cluster_is_waited_for(
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey, aws: Sandbox
) -> None:
    secret = await make_key("deployer")
    async with serve(settings) as app:
        accepted = await connect(app, secret).post("/v1/deployments", json=BODY)
    aws.fault("DescribeCluster", "error", times=4)
    async with serve(settings) as app:
        over = await connect(app, secret).get(accepted.headers["location"], params={"wait": "30"})
    assert (over.status_code, over.json().get("status")) == (200, "succeeded"), over.text


async def test_a_permission_that_the_role_lacks_is_named(deployer: httpx.AsyncClient, aws: Sandbox) -> None:
    async with sdk("iam", aws) as iam:
        await deny_us(iam, "eks:DescribeCluster")
    refused = await deploy(deployer)
    assert (refused.status_code, refused.json()["code"]) == (502, "aws_permission_missing")
    assert refused.json()["detail"] == "Wharfinger's role lacks eks:DescribeCluster on demo: grant it."
    assert refused.json()["retryable"] is False


async def test_who_takes_over_late_waits_as_well(  # noqa: PLR0917 - fixtures
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey, database: Database, aws: Sandbox
) -> None:
    secret = await make_key("deployer")
    async with serve(settings) as app:
        accepted = await connect(app, secret).post("/v1/deployments", json=BODY | {"progress_deadline": "PT1M"})
    long_ago = utcnow() - timedelta(hours=1)
    halted = {"status": "progressing", "started_at": long_ago, "progressed_at": long_ago}
    async with database.write() as connection:
        await connection.execute(update(deployments).values(halted))
    aws.fault("DescribeCluster", "throttle", times=4)
    async with serve(settings) as app:
        over = await connect(app, secret).get(accepted.headers["location"], params={"wait": "30"})
    assert (over.status_code, over.json().get("status")) == (200, "succeeded"), over.text
