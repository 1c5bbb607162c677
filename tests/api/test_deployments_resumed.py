"""Rollouts that find the cluster otherwise than when they were accepted, or than when they were begun."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import update

from sandbox.faults import Hold
from sandbox.server import Sandbox
from service.base.clock import utcnow
from service.base.db import Database
from service.base.settings import Settings
from service.base.tables import deployments, jobs
from tests.administrator import administrator
from tests.api.deploying import BODY
from tests.conftest import Connect, MakeKey, Serve
from tests.held import rollout_held
from tests.images import publish
from tests.marks import only_sqlite
from tests.sandbox.kube.api_server import DEPLOYMENTS, deployment

pytestmark = [pytest.mark.asyncio, only_sqlite]
_WITHIN = 10
_TRIES = 20


@pytest_asyncio.fixture(autouse=True)
async def pushed(aws: Sandbox) -> None:
    await publish(aws, "myapp", "1", "2")


async def accepted(client: httpx.AsyncClient, aws: Sandbox, before: str, **changes: object) -> tuple[Hold, str]:
    """Deploy, and stop at this call of the rollout; gives the path of the deployment too."""
    hold, made = await rollout_held(client, aws, before, BODY | changes)
    return hold, made.headers["location"]


async def over(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    await client.get(path, params={"wait": "30"})
    return dict((await client.get(path)).json())


def applied(aws: Sandbox) -> int:
    calls = [one for one in aws.calls() if one.operation == "PATCH deployments"]
    return sum("dryRun" not in one.parameters and bool((one.principal or "").count("wharfinger")) for one in calls)


async def test_what_became_somebody_elses_before_it_was_applied_is_left_alone(
    deployer: httpx.AsyncClient, aws: Sandbox
) -> None:
    hold, path = await accepted(deployer, aws, "GET deployments")
    async with administrator(aws) as kube:
        assert (await kube.post(DEPLOYMENTS, json=deployment("myapp"))).status_code == 201
        hold.release()
        found = await over(deployer, path)
        assert (found["status"], found["reason"]["code"]) == ("failed", "object_not_ours")
        there = (await kube.get(f"{DEPLOYMENTS}/myapp")).json()
    assert there["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.test/app:1"
    assert applied(aws) == 0


async def test_what_is_gone_when_a_rollout_is_resumed_is_the_reason(
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey, aws: Sandbox
) -> None:
    secret = await make_key("deployer")
    async with serve(settings) as app:
        hold, path = await accepted(connect(app, secret), aws, "GET services")
    hold.drop()
    async with administrator(aws) as kube:
        assert (await kube.delete(f"{DEPLOYMENTS}/myapp")).is_success
    async with serve(settings) as app:
        found = await over(connect(app, secret), path)
    assert (found["status"], found["reason"]["code"]) == ("failed", "object_gone"), found
    assert applied(aws) == 1


async def test_a_step_that_had_failed_is_not_tried_again(  # noqa: PLR0917 - fixtures
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey, database: Database, aws: Sandbox
) -> None:
    secret = await make_key("deployer")
    async with serve(settings) as app, administrator(aws) as kube:
        hold, path = await accepted(connect(app, secret), aws, "GET deployments")
        await kube.post(DEPLOYMENTS, json=deployment("myapp"))
        hold.release()
        first = await over(connect(app, secret), path)
        await kube.delete(f"{DEPLOYMENTS}/myapp")
    # As a crash leaves it between the outcome of the step and that of the rollout.
    halted = {"status": "progressing", "finished_at": None, "reason": None}
    async with database.write() as connection:
        await connection.execute(update(deployments).values(halted))
        await connection.execute(update(jobs).values(state="waiting", finished_at=None))
    async with serve(settings) as app:
        again = await over(connect(app, secret), path)
    assert (again["status"], again["reason"]) == ("failed", first["reason"])
    assert again["reason"]["code"] == "object_not_ours"
    assert applied(aws) == 0


async def test_a_rollout_that_nobody_could_go_on_with_for_days_is_judged_by_what_the_cluster_made_of_it(  # noqa: PLR0917 - fixtures
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey, aws: Sandbox, database: Database
) -> None:
    secret = await make_key("deployer")
    async with serve(settings) as app:
        hold, path = await accepted(connect(app, secret), aws, "GET services")
    hold.drop()
    async with database.write() as connection:
        await connection.execute(update(jobs).values(started_at=utcnow() - timedelta(days=3)))
    async with serve(settings) as app:
        assert (await over(connect(app, secret), path))["status"] == "succeeded"


async def test_an_object_that_changes_all_the_time_is_waited_for(deployer: httpx.AsyncClient, aws: Sandbox) -> None:
    first = await deployer.post("/v1/deployments", params={"wait": "30"}, json=BODY)
    assert first.status_code == 200, first.text
    hold, path = await accepted(deployer, aws, "PATCH deployments", image="myapp:2")
    async with administrator(aws) as kube:
        for number in range(_TRIES):
            touched = {"metadata": {"annotations": {"touched": str(number)}}}
            media = {"Content-Type": "application/merge-patch+json"}
            assert (await kube.patch(f"{DEPLOYMENTS}/myapp", json=touched, headers=media)).is_success
            last, hold = hold, aws.hold("PATCH deployments")
            last.release()
            assert await asyncio.to_thread(hold.reached, _WITHIN)
    away = (await deployer.get(path)).json()
    assert (away["status"], away["cluster_away_since"] is None) == ("progressing", False)
    hold.release()
    found = await over(deployer, path)
    assert (found["status"], found["cluster_away_since"]) == ("succeeded", None), found
    assert "changes faster than it can be applied" in (await deployer.get(f"{path}/events")).text
