"""Deployments where something is in the way: other people's objects, a cluster that can't be reached."""

import asyncio
from typing import Any

import httpx
import pytest
import pytest_asyncio

from sandbox.server import Sandbox
from tests.administrator import administrator
from tests.api.deploying import BODY, deploy
from tests.images import publish
from tests.sandbox.kube.api_server import DEPLOYMENTS, SERVICES

pytestmark = pytest.mark.asyncio
LABELS = {"app": "theirs"}
THEIRS: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "myapp"},
    "spec": {
        "selector": {"matchLabels": LABELS},
        "template": {
            "metadata": {"labels": LABELS},
            "spec": {"containers": [{"name": "myapp", "image": "example.com/other:1"}]},
        },
    },
}


@pytest_asyncio.fixture(autouse=True)
async def pushed(aws: Sandbox) -> None:
    await publish(aws, "myapp", "1")


async def test_what_others_made_is_left_alone_until_an_admin_takes_it(
    deployer: httpx.AsyncClient, admin: httpx.AsyncClient, aws: Sandbox
) -> None:
    async with administrator(aws) as kube:
        made = await kube.post(DEPLOYMENTS, params={"fieldManager": "kubectl"}, json=THEIRS)
        assert made.status_code == 201
        refused = await deploy(deployer)
        assert (refused.status_code, refused.json()["code"]) == (409, "object_not_ours")
        owned = await deploy(admin, adopt=True)
        assert (owned.status_code, owned.json()["code"]) == (409, "field_conflict")
        assert any(one["path"].endswith('containers[name="myapp"].image') for one in owned.json()["errors"])
        assert "take them over with `force`" in owned.json()["detail"]
        taken = await deploy(admin, adopt=True, force=True)
        assert taken.status_code == 200, taken.text
        found = (await kube.get(f"{DEPLOYMENTS}/myapp")).json()
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == taken.json()["image_uri"]
    assert found["spec"]["selector"] == THEIRS["spec"]["selector"]


async def test_a_cluster_that_can_not_be_reached_is_503_and_nothing_is_accepted(
    deployer: httpx.AsyncClient, aws: Sandbox
) -> None:
    aws.fault("LIST nodes", "error", times=5)
    answer = await deploy(deployer)
    assert (answer.status_code, answer.json()["code"]) == (503, "cluster_unavailable")
    assert "retry-after" in answer.headers
    assert (await deployer.get("/v1/deployments")).json()["items"] == []


async def test_what_took_an_objects_place_while_it_was_being_deleted_is_left_alone(
    deployer: httpx.AsyncClient, aws: Sandbox
) -> None:
    made = (await deploy(deployer)).json()
    hold = aws.hold("DELETE services")
    going = asyncio.create_task(deployer.delete(f"/v1/deployments/{made['id']}", params={"wait": "30"}))
    assert await asyncio.to_thread(hold.reached, 10)
    async with administrator(aws) as kube:
        await kube.delete(f"{SERVICES}/myapp")
        port = {"port": 80, "protocol": "TCP"}
        theirs = {"metadata": {"name": "myapp"}, "spec": {"selector": LABELS, "ports": [port]}}
        assert (await kube.post(SERVICES, json=theirs)).status_code == 201
        hold.release()
        assert (await going).status_code == 200
        assert (await kube.get(f"{SERVICES}/myapp")).json()["spec"]["selector"] == LABELS
        assert (await kube.get(f"{DEPLOYMENTS}/myapp")).status_code == 404
    steps = (await deployer.get("/v1/audit", params={"action": "cluster.delete_service"})).json()["items"]
    assert [one["result"] for one in steps] == [{"deleted": False}]


async def test_a_workload_that_somebody_deletes_meanwhile_fails_at_once(
    deployer: httpx.AsyncClient, aws: Sandbox
) -> None:
    made = await deployer.post("/v1/deployments", json=BODY | {"env": {"SANDBOX_READY_AFTER": "60"}})
    hold = aws.hold("WATCH deployments")
    assert await asyncio.to_thread(hold.reached, 10)
    hold.release()
    async with administrator(aws) as kube:
        await kube.delete(f"{DEPLOYMENTS}/myapp")
    over = await deployer.get(made.headers["location"], params={"wait": "30"})
    assert (over.status_code, over.json()["deployment"]["reason"]["code"]) == (409, "object_gone")
