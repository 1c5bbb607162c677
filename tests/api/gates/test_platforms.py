"""The gate `platforms`: what an image is built for, and what the nodes are."""

import httpx
import pytest

from sandbox.server import Sandbox
from tests.administrator import administrator
from tests.api.deploying import BODY, deploy_well
from tests.api.gates.preflights import look
from tests.marks import only_sqlite

pytestmark = [pytest.mark.asyncio, only_sqlite]


async def test_a_node_that_does_not_tell_its_platform_leaves_it_open(
    viewer: httpx.AsyncClient, deployer: httpx.AsyncClient, pushed: Sandbox
) -> None:
    async with administrator(pushed) as kube:
        node = {"metadata": {"name": "joining"}, "spec": {"unschedulable": True}}
        (await kube.post("/api/v1/nodes", json=node)).raise_for_status()
    assert (await look(viewer, "myapp:1"))["platforms"]["verdict"] == "ok"
    assert (await look(viewer, "myapp:arm"))["platforms"]["verdict"] == "unknown"
    asked = BODY | {"image": "myapp:arm"}
    shown = await deployer.post("/v1/deployments", params={"dry_run": "true"}, json=asked)
    assert shown.status_code == 200, shown.text
    assert (await viewer.get("/v1/clusters/demo")).json()["architectures"] == ["linux/amd64"]


@pytest.mark.usefixtures("pushed")
async def test_a_deployment_keeps_what_it_had_to_pass_and_what_that_stood_on(deployer: httpx.AsyncClient) -> None:
    made = await deploy_well(deployer)
    checks = made.json()["checks"]
    assert (checks["platforms"], checks["nodes"]) == (["linux/amd64"], ["linux/amd64"])
    evidence = {"digest": made.json()["digest"], "platforms": ["linux/amd64"], "nodes": ["linux/amd64"]}
    reason = "The image is built for linux/amd64; nodes are linux/amd64."
    assert checks["gates"] == [{"name": "platforms", "verdict": "ok", "reason": reason, "evidence": evidence}]


@pytest.mark.usefixtures("pushed")
async def test_a_deploy_is_refused_in_the_words_of_the_preflight(
    viewer: httpx.AsyncClient, deployer: httpx.AsyncClient
) -> None:
    asked = BODY | {"image": "myapp:arm"}
    refused = await deployer.post("/v1/deployments", json=asked)
    assert (refused.status_code, refused.json()["code"]) == (422, "platform_mismatch")
    assert refused.json()["detail"] == (await look(viewer, "myapp:arm"))["platforms"]["detail"]
