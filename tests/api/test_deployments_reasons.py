"""Why a deployment failed: each reason by its code and in the words of who said it, also in the problem's own text."""

import json
from typing import Any

import httpx
import pytest
import pytest_asyncio

from sandbox.server import Sandbox
from tests.administrator import administrator
from tests.api.deploying import BODY
from tests.held import rollout_held
from tests.images import publish
from tests.marks import only_sqlite
from tests.sandbox.clients import sdk
from tests.sandbox.kube.api_server import DEPLOYMENTS

pytestmark = [pytest.mark.asyncio, only_sqlite]


@pytest_asyncio.fixture(autouse=True)
async def pushed(aws: Sandbox) -> None:
    await publish(aws, "myapp", "1", "2")


async def reason_of(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    """Why it failed, which its problem says too."""
    over = await client.get(path, params={"wait": "30"})
    problem = over.json()
    assert (over.status_code, problem["code"]) == (409, "deployment_failed"), over.text
    failed = problem["deployment"]
    reason = dict(failed["reason"])
    assert problem["detail"] == f"Deployment {failed['id']} failed: {reason['code']}: {reason['message']}."
    return reason


async def test_an_image_that_is_deleted_before_the_nodes_pull_it(deployer: httpx.AsyncClient, aws: Sandbox) -> None:
    step, made = await rollout_held(deployer, aws, "PATCH deployments", BODY)
    async with sdk("ecr", aws) as ecr:
        await ecr.batch_delete_image(repositoryName="myapp", imageIds=[{"imageTag": "1"}])
    step.release()
    reason = await reason_of(deployer, made.headers["location"])
    assert (reason["code"], reason["container"]) == ("image_pull_failed", "myapp")
    assert f"{made.json()['image_uri']}: not found" in reason["message"]
    assert reason["pod"].startswith("myapp-")


async def test_a_container_that_must_not_be_root_and_is(deployer: httpx.AsyncClient) -> None:
    made = await deployer.post("/v1/deployments", json=BODY | {"security": {"run_as_non_root": True}})
    reason = await reason_of(deployer, made.headers["location"])
    assert (reason["code"], reason["container"]) == ("container_config_invalid", "myapp")
    words = "CreateContainerConfigError: container has runAsNonRoot and image will run as root"
    assert reason["message"].startswith(words)


async def test_a_container_that_is_still_being_created_at_the_deadline(deployer: httpx.AsyncClient) -> None:
    volumes = [{"mount_path": "/etc/keys", "secret": "none"}]
    made = await deployer.post("/v1/deployments", json=BODY | {"volumes": volumes, "progress_deadline": "PT2S"})
    reason = await reason_of(deployer, made.headers["location"])
    assert (reason["code"], reason["container"]) == ("container_not_started", "myapp")
    assert reason["message"].startswith("ContainerCreating")


async def test_a_rollout_that_somebody_paused_says_what_the_controller_says(
    deployer: httpx.AsyncClient, aws: Sandbox
) -> None:
    assert (await deployer.post("/v1/deployments", params={"wait": "30"}, json=BODY)).status_code == 200
    headers = {"Content-Type": "application/merge-patch+json"}
    async with administrator(aws) as kube:
        paused = await kube.patch(
            f"{DEPLOYMENTS}/myapp", content=json.dumps({"spec": {"paused": True}}), headers=headers
        )
        assert paused.status_code == 200
    asked = BODY | {"image": "myapp:2", "progress_deadline": "PT1S"}
    made = await deployer.post("/v1/deployments", json=asked)
    reason = await reason_of(deployer, made.headers["location"])
    assert (reason["code"], reason["message"]) == ("progress_deadline_exceeded", "Deployment is paused")
    assert reason["pod"] is None
