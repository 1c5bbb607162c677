"""The gate `platforms`: what an image is built for, and what the nodes are."""

import httpx
import pytest

from sandbox.server import Sandbox
from tests.administrator import administrator
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
    asked = {"cluster": "demo", "name": "myapp", "image": "myapp:arm", "port": 8080}
    shown = await deployer.post("/v1/deployments", params={"dry_run": "true"}, json=asked)
    assert shown.status_code == 200, shown.text
    assert (await viewer.get("/v1/clusters/demo")).json()["architectures"] == ["linux/amd64"]
