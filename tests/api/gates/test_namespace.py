"""The gate `namespace`: whether objects can be made there."""

import httpx
import pytest

from sandbox.server import Sandbox
from tests.administrator import administrator
from tests.api.gates.preflights import look
from tests.marks import only_sqlite

pytestmark = [pytest.mark.asyncio, only_sqlite]


@pytest.mark.usefixtures("pushed")
async def test_a_namespace_that_is_not_there_fails_and_says_so(viewer: httpx.AsyncClient) -> None:
    found = await look(viewer, namespace="none")
    assert found["verdict"] == found["namespace"]["verdict"] == "failed"
    assert "'none'" in found["namespace"]["detail"]
    assert found["namespace"]["advice"] == "Make it: kubectl create namespace none"


async def test_a_namespace_that_is_being_deleted_takes_no_deployments(
    viewer: httpx.AsyncClient, deployer: httpx.AsyncClient, pushed: Sandbox
) -> None:
    async with administrator(pushed) as kube:
        ending = {"metadata": {"name": "ending", "finalizers": ["example.com/slow"]}}
        (await kube.post("/api/v1/namespaces", json=ending)).raise_for_status()
        (await kube.delete("/api/v1/namespaces/ending")).raise_for_status()
    asked = {"cluster": "demo", "namespace": "ending", "name": "myapp", "image": "myapp:1", "port": 8080}
    refused = await deployer.post("/v1/deployments", json=asked)
    assert (refused.status_code, refused.json()["code"]) == (409, "namespace_terminating"), refused.text
    assert "namespace ending because it is being terminated" in refused.json()["detail"]
    found = await look(viewer, namespace="ending")
    assert found["namespace"]["verdict"] == "failed"
    assert "being terminated" in found["namespace"]["detail"]
