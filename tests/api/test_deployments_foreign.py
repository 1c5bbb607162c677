"""Deployments in a namespace with other people's pods, some of which carry our labels."""

import asyncio
from typing import Any

import httpx
import pytest
import pytest_asyncio

from sandbox.server import Sandbox
from tests.api.deploying import BODY, deployed
from tests.images import publish
from tests.marks import only_sqlite
from tests.sandbox.kube.api_server import DEPLOYMENTS, PODS, SERVICES

pytestmark = [pytest.mark.asyncio, only_sqlite]
NAME = {"app.kubernetes.io/name": "myapp"}
OURS = NAME | {"app.kubernetes.io/managed-by": "wharfinger"}


@pytest_asyncio.fixture(autouse=True)
async def pushed(aws: Sandbox) -> None:
    await publish(aws, "myapp", "1")


def their_deployment(name: str, labels: dict[str, str], image: str, **container: object) -> dict[str, Any]:
    pod = {"containers": [{"name": "theirs", "image": image, **container}]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": labels}, "template": template}}


async def selected(kube: httpx.AsyncClient) -> list[dict[str, Any]]:
    """The pods behind our Service."""
    chosen = (await kube.get(f"{SERVICES}/myapp")).json()["spec"]["selector"]
    query = ",".join(f"{key}={value}" for key, value in chosen.items())
    return list((await kube.get(PODS, params={"labelSelector": query})).json()["items"])


async def test_the_service_is_in_front_of_our_own_pods_alone(
    deployer: httpx.AsyncClient, kube: httpx.AsyncClient
) -> None:
    made = await deployed(deployer)
    (
        await kube.post(DEPLOYMENTS, json=their_deployment("theirs", NAME | {"of": "them"}, made["image_uri"]))
    ).raise_for_status()
    pods = await selected(kube)
    assert [one["spec"]["containers"][0]["name"] for one in pods] == ["myapp"]


async def test_a_deployment_of_before_keeps_its_selector_and_its_service_gets_the_narrower_one(
    deployer: httpx.AsyncClient, kube: httpx.AsyncClient
) -> None:
    uri = (await deployed(deployer, name="other"))["image_uri"]
    older = their_deployment("myapp", NAME, uri, terminationMessagePolicy="FallbackToLogsOnError")
    older["metadata"]["labels"] = older["spec"]["template"]["metadata"]["labels"] = OURS
    older["spec"]["template"]["spec"]["containers"][0]["name"] = "myapp"
    (await kube.post(DEPLOYMENTS, params={"fieldManager": "other"}, json=older)).raise_for_status()
    await deployed(deployer)
    assert (await kube.get(f"{DEPLOYMENTS}/myapp")).json()["spec"]["selector"] == {"matchLabels": NAME}
    assert (await kube.get(f"{SERVICES}/myapp")).json()["spec"]["selector"] == OURS


async def test_a_crash_of_other_peoples_pods_with_our_labels_is_not_ours(
    deployer: httpx.AsyncClient, kube: httpx.AsyncClient
) -> None:
    uri = (await deployed(deployer, name="other"))["image_uri"]
    crash = [{"name": "SANDBOX_EXIT", "value": "1"}]
    (await kube.post(DEPLOYMENTS, json=their_deployment("theirs", OURS, uri, env=crash))).raise_for_status()
    made = await deployed(deployer, env={"SANDBOX_READY_AFTER": "2"})
    assert made["status"] == "succeeded"


async def adopted(kube: httpx.AsyncClient, uri: str) -> None:
    """A Deployment and a Service `myapp` of somebody else, with more in them than ours have."""
    theirs = their_deployment("myapp", {"app": "theirs"}, uri, volumeMounts=[{"name": "cache", "mountPath": "/cache"}])
    pod = theirs["spec"]["template"]["spec"]
    pod["initContainers"] = [{"name": "before", "image": uri}]
    pod["volumes"] = [{"name": "cache", "emptyDir": {}}]
    theirs["spec"]["minReadySeconds"] = 1
    (await kube.post(DEPLOYMENTS, params={"fieldManager": "kubectl-create"}, json=theirs)).raise_for_status()
    front = {"selector": {"app": "theirs"}, "ports": [{"port": 80}]}
    about = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "myapp"}}
    (
        await kube.post(SERVICES, params={"fieldManager": "kubectl-expose"}, json=about | {"spec": front})
    ).raise_for_status()


async def test_after_an_adoption_there_runs_what_was_asked_for(
    admin: httpx.AsyncClient, kube: httpx.AsyncClient
) -> None:
    await adopted(kube, (await deployed(admin, name="other"))["image_uri"])
    await deployed(admin, adopt=True, force=True)
    found = (await kube.get(f"{DEPLOYMENTS}/myapp")).json()
    pod = found["spec"]["template"]["spec"]
    assert [one["name"] for one in pod["containers"]] == ["myapp"]
    assert not pod.get("initContainers")
    assert not pod.get("volumes")
    # What says how it is rolled out is theirs still.
    assert found["spec"]["minReadySeconds"] == 1
    front = (await kube.get(f"{SERVICES}/myapp")).json()["spec"]
    assert [one["port"] for one in front["ports"]] == [8080]
    assert front["selector"] == {"app": "theirs"}


async def test_an_adoption_that_is_cut_off_is_gone_through_with(
    admin: httpx.AsyncClient, kube: httpx.AsyncClient, aws: Sandbox
) -> None:
    await adopted(kube, (await deployed(admin, name="other"))["image_uri"])
    dry_run = aws.hold("PATCH deployments")
    asked = asyncio.create_task(deployed(admin, adopt=True, force=True))
    assert await asyncio.to_thread(dry_run.reached, 10)
    taken_over = aws.hold("PATCH deployments")
    dry_run.release()
    assert await asyncio.to_thread(taken_over.reached, 10)
    applied = aws.hold("PATCH deployments")
    taken_over.release()
    assert await asyncio.to_thread(applied.reached, 10)
    theirs = await containers(kube)
    applied.drop()
    await asked
    assert [one["name"] for one in theirs] == ["theirs"]
    assert [one["name"] for one in await containers(kube)] == ["myapp"]


async def test_the_dry_run_of_an_adoption_shows_what_goes(admin: httpx.AsyncClient, kube: httpx.AsyncClient) -> None:
    await adopted(kube, (await deployed(admin, name="other"))["image_uri"])
    before = [(await kube.get(f"{path}/myapp")).json()["spec"] for path in (DEPLOYMENTS, SERVICES)]
    asked = BODY | {"adopt": True, "force": True}
    shown = (await admin.post("/v1/deployments", params={"dry_run": "true"}, json=asked)).json()["changes"]
    changes = {(one["object"], one["path"]): (one["before"], one["after"]) for one in shown}
    pod = ".spec.template.spec"
    [theirs], none = changes["Deployment/myapp", f"{pod}.initContainers"]
    assert (theirs["name"], none) == ("before", None)
    assert changes["Deployment/myapp", f"{pod}.volumes"][1] is None
    assert changes["Deployment/myapp", f"{pod}.containers[0].name"] == ("theirs", "myapp")
    assert changes["Service/myapp", ".spec.ports[0].port"] == (80, 8080)
    assert [(await kube.get(f"{path}/myapp")).json()["spec"] for path in (DEPLOYMENTS, SERVICES)] == before


async def test_what_others_added_since_an_adoption_goes_with_the_next(
    admin: httpx.AsyncClient, kube: httpx.AsyncClient
) -> None:
    uri = (await deployed(admin))["image_uri"]
    sidecar = {"spec": {"template": {"spec": {"containers": [{"name": "sidecar", "image": uri}]}}}}
    headers = {"Content-Type": "application/strategic-merge-patch+json"}
    (await kube.patch(f"{DEPLOYMENTS}/myapp", json=sidecar, headers=headers)).raise_for_status()
    await deployed(admin)
    names = [one["name"] for one in await containers(kube)]
    assert sorted(names) == ["myapp", "sidecar"]
    await deployed(admin, adopt=True)
    assert [one["name"] for one in await containers(kube)] == ["myapp"]


async def containers(kube: httpx.AsyncClient) -> list[dict[str, Any]]:
    return list((await kube.get(f"{DEPLOYMENTS}/myapp")).json()["spec"]["template"]["spec"]["containers"])


async def test_a_dry_run_of_the_same_again_shows_no_change(deployer: httpx.AsyncClient) -> None:
    await deployed(deployer)
    shown = await deployer.post("/v1/deployments", params={"dry_run": "true"}, json=BODY)
    assert (shown.status_code, shown.json()["changes"]) == (200, [])
