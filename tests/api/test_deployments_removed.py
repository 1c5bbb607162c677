"""Removal of what runs: only by the deployment that counts, and only as it was read."""

import httpx
import pytest
import pytest_asyncio

from sandbox.server import Sandbox
from tests.administrator import administrator
from tests.api.deploying import BODY, deploy_well
from tests.images import publish
from tests.sandbox.kube.api_server import DEPLOYMENTS

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture(autouse=True)
async def pushed(aws: Sandbox) -> None:
    await publish(aws, "myapp", "1", "2")


async def runs(aws: Sandbox) -> bool:
    async with administrator(aws) as kube:
        return (await kube.get(f"{DEPLOYMENTS}/myapp")).is_success


async def test_one_that_is_not_the_newest_removes_nothing_unless_forced(
    deployer: httpx.AsyncClient, aws: Sandbox
) -> None:
    older = (await deploy_well(deployer)).headers["location"]
    await deploy_well(deployer, image="myapp:2")
    refused = await deployer.delete(older, params={"wait": "30"})
    assert (refused.status_code, refused.json()["code"]) == (409, "deployment_not_newest")
    assert await runs(aws)
    assert len((await deployer.get("/v1/deployments")).json()["items"]) == 2
    forced = await deployer.delete(older, params={"wait": "30", "force": "true"})
    assert forced.status_code == 200, forced.text
    assert not await runs(aws)


async def test_one_that_has_changed_since_it_was_read_removes_nothing(
    deployer: httpx.AsyncClient, aws: Sandbox
) -> None:
    accepted = await deployer.post("/v1/deployments", json=BODY)
    path = accepted.headers["location"]
    over = await deployer.get(path, params={"wait": "30"})
    refused = await deployer.delete(path, params={"wait": "30"}, headers={"If-Match": accepted.headers["etag"]})
    assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
    assert await runs(aws)
    done = await deployer.delete(path, params={"wait": "30"}, headers={"If-Match": over.headers["etag"]})
    assert done.status_code == 200, done.text
    assert not await runs(aws)


async def test_refused_removals_are_in_the_trail(deployer: httpx.AsyncClient) -> None:
    path = (await deploy_well(deployer)).headers["location"]
    await deployer.delete(path, headers={"If-Match": '"other"'})
    trail = await deployer.get("/v1/audit", params={"action": "deployment.delete"})
    assert [(one["status"], one["code"]) for one in trail.json()["items"]] == [("failed", "precondition_failed")]


async def test_the_clusters_own_audit_log_can_be_joined_with_the_trail(
    deployer: httpx.AsyncClient, aws: Sandbox
) -> None:
    made = (await deploy_well(deployer)).headers["location"]
    await deployer.delete(made, params={"wait": "30"})
    trail = {one["action"]: one["id"] for one in (await deployer.get("/v1/audit")).json()["items"]}
    calls = [one for one in aws.calls() if one.service == "kube"]
    changes = [one for one in calls if one.operation.startswith(("PATCH", "DELETE")) and "dryRun" not in one.parameters]
    assert {one.operation: one.user_agent for one in changes} == {
        "PATCH deployments": f"wharfinger wharfinger-operation/{trail['cluster.apply_deployment']}",
        "PATCH services": f"wharfinger wharfinger-operation/{trail['cluster.apply_service']}",
        "DELETE services": f"wharfinger wharfinger-operation/{trail['cluster.delete_service']}",
        "DELETE deployments": f"wharfinger wharfinger-operation/{trail['cluster.delete_deployment']}",
    }
    reads = [one for one in calls if one.operation.startswith(("GET", "LIST", "WATCH"))]
    assert {one.user_agent for one in reads} == {"wharfinger"}
