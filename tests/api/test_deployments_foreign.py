"""Deployments in a namespace with other people's pods, some of which carry our labels."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from sandbox.server import Sandbox
from tests.administrator import administrator
from tests.images import publish
from tests.marks import only_sqlite
from tests.sandbox.kube import DEPLOYMENTS, PODS, SERVICES

pytestmark = [pytest.mark.asyncio, only_sqlite]
BODY: dict[str, Any] = {"cluster": "demo", "name": "myapp", "image": "myapp:1", "port": 8080}
NAME = {"app.kubernetes.io/name": "myapp"}
OURS = NAME | {"app.kubernetes.io/managed-by": "wharfinger"}


@pytest_asyncio.fixture(autouse=True)
async def pushed(aws: Sandbox) -> None:
    await publish(aws, "myapp", "1")


@pytest_asyncio.fixture
async def kube(aws: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """The cluster's administrator."""
    async with administrator(aws) as client:
        yield client


async def deploy(client: httpx.AsyncClient, **changes: object) -> dict[str, Any]:
    answer = await client.post("/v1/deployments", params={"wait": "30"}, json=BODY | changes)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def their_deployment(name: str, labels: dict[str, str], image: str, **container: object) -> dict[str, Any]:
    pod = {"containers": [{"name": "theirs", "image": image, **container}]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    about = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}}
    return about | {"spec": {"selector": {"matchLabels": labels}, "template": template}}


async def selected(kube: httpx.AsyncClient) -> list[dict[str, Any]]:
    """The pods behind our Service."""
    chosen = (await kube.get(f"{SERVICES}/myapp")).json()["spec"]["selector"]
    query = ",".join(f"{key}={value}" for key, value in chosen.items())
    return list((await kube.get(PODS, params={"labelSelector": query})).json()["items"])


async def test_the_service_is_in_front_of_our_own_pods_alone(
    deployer: httpx.AsyncClient, kube: httpx.AsyncClient
) -> None:
    made = await deploy(deployer)
    (
        await kube.post(DEPLOYMENTS, json=their_deployment("theirs", NAME | {"of": "them"}, made["image_uri"]))
    ).raise_for_status()
    pods = await selected(kube)
    assert [one["spec"]["containers"][0]["name"] for one in pods] == ["myapp"]


async def test_a_deployment_of_before_keeps_its_selector_and_its_service_gets_the_narrower_one(
    deployer: httpx.AsyncClient, kube: httpx.AsyncClient
) -> None:
    uri = (await deploy(deployer, name="other"))["image_uri"]
    older = their_deployment("myapp", NAME, uri, terminationMessagePolicy="FallbackToLogsOnError")
    older["metadata"]["labels"] = older["spec"]["template"]["metadata"]["labels"] = OURS
    older["spec"]["template"]["spec"]["containers"][0]["name"] = "myapp"
    (await kube.post(DEPLOYMENTS, params={"fieldManager": "other"}, json=older)).raise_for_status()
    await deploy(deployer)
    assert (await kube.get(f"{DEPLOYMENTS}/myapp")).json()["spec"]["selector"] == {"matchLabels": NAME}
    assert (await kube.get(f"{SERVICES}/myapp")).json()["spec"]["selector"] == OURS


async def test_a_crash_of_other_peoples_pods_with_our_labels_is_not_ours(
    deployer: httpx.AsyncClient, kube: httpx.AsyncClient
) -> None:
    uri = (await deploy(deployer, name="other"))["image_uri"]
    crash = [{"name": "SANDBOX_EXIT", "value": "1"}]
    (await kube.post(DEPLOYMENTS, json=their_deployment("theirs", OURS, uri, env=crash))).raise_for_status()
    made = await deploy(deployer, env={"SANDBOX_READY_AFTER": "2"})
    assert made["status"] == "succeeded"
