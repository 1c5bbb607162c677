"""Deployments whose objects others edit, and what is kept from one deployment to the next.

On one engine where the cluster alone decides; what is kept of a deployment is told on both.
"""

import asyncio
import json
from typing import Any

import httpx
import pytest
import pytest_asyncio

from sandbox.server import Sandbox
from service.base.settings import ClusterSettings, Settings
from tests.administrator import administrator
from tests.api.deploying import BODY, deploy
from tests.conftest import Connect, MakeKey, Serve
from tests.images import publish
from tests.marks import only_sqlite
from tests.sandbox.kube.api_server import DEPLOYMENTS, SERVICES

pytestmark = pytest.mark.asyncio
SLOW = {"env": {"SANDBOX_READY_AFTER": "60"}}


@pytest_asyncio.fixture(autouse=True)
async def pushed(aws: Sandbox) -> None:
    await publish(aws, "myapp", "1", "2")


async def edit(aws: Sandbox, path: str, patch: dict[str, Any]) -> None:
    headers = {"Content-Type": "application/strategic-merge-patch+json"}
    async with administrator(aws) as kube:
        answer = await kube.patch(f"{path}/myapp", content=json.dumps(patch), headers=headers)
        assert answer.status_code == 200, answer.text


async def under_way(client: httpx.AsyncClient, aws: Sandbox, **changes: object) -> str:
    """A rollout that is being followed and does not end soon; gives its path."""
    hold = aws.hold("WATCH deployments")
    made = await client.post("/v1/deployments", json=BODY | SLOW | changes)
    assert await asyncio.to_thread(hold.reached, 10)
    hold.release()
    return made.headers["location"]


async def reason_of(client: httpx.AsyncClient, path: str) -> str:
    over = await client.get(path, params={"wait": "30"})
    assert over.status_code == 409, over.text
    return str(over.json()["deployment"]["reason"]["code"])


@only_sqlite
async def test_another_image_than_was_asked_for_is_no_success(deployer: httpx.AsyncClient, aws: Sandbox) -> None:
    other = (await deploy(deployer, image="myapp:2")).json()["image_uri"]
    path = await under_way(deployer, aws)
    container = {"name": "myapp", "image": other}
    await edit(aws, DEPLOYMENTS, {"spec": {"template": {"spec": {"containers": [container]}}}})
    assert await reason_of(deployer, path) == "object_changed"


@only_sqlite
async def test_a_service_that_somebody_deletes_meanwhile_is_the_reason(
    deployer: httpx.AsyncClient, aws: Sandbox
) -> None:
    hold = aws.hold("WATCH pods")
    path = (await deployer.post("/v1/deployments", json=BODY)).headers["location"]
    assert await asyncio.to_thread(hold.reached, 10)
    last = aws.hold("GET services")
    hold.release()
    assert await asyncio.to_thread(last.reached, 10)
    async with administrator(aws) as kube:
        await kube.delete(f"{SERVICES}/myapp")
    last.release()
    assert await reason_of(deployer, path) == "object_gone"


async def test_a_generation_that_this_database_does_not_know_is_counted_on_from(
    admin: httpx.AsyncClient, aws: Sandbox
) -> None:
    first = (await deploy(admin)).json()
    ahead = {"metadata": {"annotations": {"wharfinger.dev/generation": "99", "wharfinger.dev/deployment": "another"}}}
    await edit(aws, DEPLOYMENTS, ahead)
    removed = await admin.delete(f"/v1/deployments/{first['id']}", params={"wait": "30"})
    assert (removed.status_code, removed.json()["deployment"]["reason"]["code"]) == (409, "generation_ahead")
    made = await deploy(admin, image="myapp:2", force=True)
    assert (made.status_code, made.json()["generation"]) == (200, 100), made.text


@pytest.mark.parametrize("generation", ["²", "9" * 20, "9" * 5000], ids=["no-digit", "too-much", "endless"])
async def test_a_generation_that_nobody_counted_stops_no_deploy(
    admin: httpx.AsyncClient, aws: Sandbox, generation: str
) -> None:
    await deploy(admin)
    await edit(aws, DEPLOYMENTS, {"metadata": {"annotations": {"wharfinger.dev/generation": generation}}})
    made = await deploy(admin, image="myapp:2", force=True)
    assert (made.status_code, made.json()["generation"]) == (200, 2), made.text


@only_sqlite
async def test_what_the_cluster_said_of_the_rollout_before_is_not_held_against_the_next(
    deployer: httpx.AsyncClient,
) -> None:
    waits = {"env": {"SANDBOX_READY_AFTER": "6"}}
    assert (await deploy(deployer, progress_deadline="PT2S", **waits)).status_code == 409
    again = await deploy(deployer, progress_deadline="PT1M", **waits)
    assert again.status_code == 200, again.text


@only_sqlite
async def test_replicas_that_are_not_asked_for_any_more_stay_as_they_are(
    deployer: httpx.AsyncClient, aws: Sandbox
) -> None:
    await deploy(deployer, replicas=3)
    assert (await deploy(deployer, image="myapp:2")).json()["progress"]["available"] == 3
    await edit(aws, DEPLOYMENTS, {"spec": {"replicas": 2}})
    assert (await deploy(deployer)).json()["progress"]["available"] == 2


async def test_a_dry_run_does_not_show_what_the_environment_held(deployer: httpx.AsyncClient) -> None:
    await deploy(deployer, env={"TOKEN": "s3cr3t", "OTHER": "kept"})
    for env in ({}, {"TOKEN": "n3w"}, {"TOKEN": "n3w", "OTHER": "kept"}):
        shown = await deployer.post("/v1/deployments", params={"dry_run": "true"}, json=BODY | {"env": env})
        assert shown.status_code == 200
        assert "s3cr3t" not in shown.text
        assert any(".env" in one["path"] for one in shown.json()["changes"])


async def test_a_failure_does_not_bring_back_what_was_removed(deployer: httpx.AsyncClient) -> None:
    made = (await deploy(deployer)).json()
    await deployer.delete(f"/v1/deployments/{made['id']}", params={"wait": "30"})
    crash = {"SANDBOX_EXIT": "1"}
    failed = await deploy(deployer, image="myapp:2", env=crash, on_failure="rollback")
    assert failed.status_code == 409, failed.text
    assert failed.json()["deployment"]["rolled_back_by"] is None


async def test_a_cluster_that_hangs_does_not_stop_the_others(
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey, aws: Sandbox
) -> None:
    clusters = (ClusterSettings(name="demo"), ClusterSettings(name="again", eks_name="demo"))
    async with serve(settings.model_copy(update={"clusters": clusters})) as app:
        admin = connect(app, await make_key("admin"))
        await deploy(admin, cluster="again")
        hold = aws.hold("DescribeCluster")
        hanging = asyncio.create_task(deploy(admin))
        assert await asyncio.to_thread(hold.reached, 10)
        assert (await asyncio.wait_for(deploy(admin, cluster="again", name="other"), 10)).status_code == 200
        hold.release()
        await hanging


@pytest.mark.parametrize("query", ["name", "cluster", "namespace"])
async def test_what_is_no_name_is_told(deployer: httpx.AsyncClient, query: str) -> None:
    assert (await deployer.get("/v1/deployments", params={query: "\0"})).status_code == 400


@pytest.mark.parametrize(
    ("field", "value", "deployed", "listed"),
    [
        ("namespace", "n" * 63, 404, 200),
        ("namespace", "n" * 64, 422, 400),
        ("name", "n" * 63, 200, 200),
        ("name", "n" * 64, 422, 400),
    ],
)
async def test_names_are_as_long_as_kubernetes_takes_them(
    deployer: httpx.AsyncClient, field: str, value: str, deployed: int, listed: int
) -> None:
    answer = await deployer.post("/v1/deployments", params={"dry_run": "true"}, json=BODY | {field: value})
    assert answer.status_code == deployed, answer.text
    assert (await deployer.get("/v1/deployments", params={field: value})).status_code == listed


@only_sqlite
@pytest.mark.parametrize("amount", ["٣", "1e99999999", "1e", ""])
async def test_what_is_no_quantity_is_told(deployer: httpx.AsyncClient, amount: str) -> None:
    answer = await deploy(deployer, resources={"requests": {"cpu": amount}})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "body.resources.requests.cpu")
