"""What a deploy asks of the caller beside its namespace: the image, an identity for the pods, what is others'.

On one engine where the request and the settings say it all; where deployments of before do, on both.
"""

import json
from typing import Any

import httpx
import pytest
import pytest_asyncio
from starlette.types import ASGIApp

from sandbox.server import Sandbox
from service.base.settings import ClusterSettings, Settings
from tests.administrator import administrator
from tests.api.deploying import BODY, deploy
from tests.conftest import Connect, MakeKey, Serve
from tests.images import publish
from tests.marks import only_sqlite
from tests.sandbox.kube.api_server import DEPLOYMENTS

pytestmark = pytest.mark.asyncio
DRY = {"dry_run": "true"}


@pytest_asyncio.fixture(autouse=True)
async def pushed(aws: Sandbox) -> None:
    await publish(aws, "myapp", "1", "2")


async def add_namespaces(aws: Sandbox, *names: str) -> None:
    async with administrator(aws) as kube:
        for name in names:
            made = await kube.post("/api/v1/namespaces", json={"metadata": {"name": name}})
            assert made.status_code == 201, made.text


@only_sqlite
@pytest.mark.parametrize(
    "changes",
    [{"force": True}, {"adopt": True}, {"service_account": "builder"}, {"namespace": "kube-system"}],
    ids=str,
)
async def test_a_dry_run_asks_what_the_change_asks(deployer: httpx.AsyncClient, changes: dict[str, Any]) -> None:
    for query in (DRY, {}):
        refused = await deployer.post("/v1/deployments", params=query, json=BODY | changes)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), refused.text
    assert (await deployer.get("/v1/deployments")).json()["items"] == []


@only_sqlite
async def test_a_dry_run_shows_nothing_of_what_others_wrote(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    secret = "--password=hunter2"
    container = {
        "name": "theirs",
        "image": "example.com/other:1",
        "args": [secret],
        "env": [{"name": "TOKEN", "value": secret}],
    }
    labels = {"app": "theirs"}
    theirs = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "myapp", "annotations": {"note": secret}},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    async with administrator(aws) as kube:
        made = await kube.post(DEPLOYMENTS, params={"fieldManager": "kubectl"}, json=theirs)
        assert made.status_code == 201, made.text
    shown = await admin.post("/v1/deployments", params=DRY, json=BODY | {"adopt": True, "force": True})
    assert shown.status_code == 200, shown.text
    assert "hunter2" not in shown.text
    assert "example.com/other:1" in shown.text
    assert any(one["path"].startswith(".spec.template.spec.containers") for one in shown.json()["changes"])


async def test_a_service_account_takes_a_grant_of_its_own(
    app: ASGIApp, connect: Connect, make_key: MakeKey, deployer: httpx.AsyncClient
) -> None:
    refused = await deploy(deployer, service_account="default")
    assert refused.status_code == 403
    assert "deployment.service_account" in refused.json()["detail"]
    privileged = connect(app, await make_key("privileged_deployer"))
    first = await deploy(privileged, service_account="default")
    assert first.status_code == 200, first.text
    second = (await deploy(deployer, image="myapp:2")).json()
    path = f"/v1/deployments/{second['id']}/rollback"
    back = await deployer.post(path, json={})
    assert (back.status_code, back.json()["code"]) == (403, "forbidden"), back.text
    assert (await privileged.post(path, params={"wait": "30"}, json={})).status_code == 200


@only_sqlite
@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "wharfinger"])
async def test_the_clusters_own_namespaces_are_reserved(
    app: ASGIApp, connect: Connect, make_key: MakeKey, deployer: httpx.AsyncClient, namespace: str
) -> None:
    refused = await deploy(deployer, namespace=namespace)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), refused.text
    privileged = connect(
        app, await make_key("privileged_deployer", repository="*", cluster="demo", namespace=namespace)
    )
    allowed = await privileged.post("/v1/deployments", params=DRY, json=BODY | {"namespace": namespace})
    assert allowed.status_code in (200, 404), allowed.text
    assert allowed.json().get("code") in (None, "namespace_not_found")


@only_sqlite
async def test_the_settings_say_where_every_deployer_may_go(
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey, aws: Sandbox
) -> None:
    await add_namespaces(aws, "team-a", "team")
    clusters = (ClusterSettings(name="demo", namespaces=("team-*", "shop")),)
    async with serve(settings.model_copy(update={"clusters": clusters})) as app:
        deployer = connect(app, await make_key("deployer"))
        answers = {name: await deploy(deployer, namespace=name) for name in ("team-a", "team", "default")}
        assert {name: one.status_code for name, one in answers.items()} == {"team-a": 200, "team": 403, "default": 403}


async def test_what_is_in_a_reserved_namespace_is_neither_rolled_back_nor_removed(
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey
) -> None:
    secret = await make_key("deployer")
    async with serve(settings) as app:
        await deploy(connect(app, secret))
        made = (await deploy(connect(app, secret), image="myapp:2")).json()
    closed = settings.model_copy(update={"clusters": (ClusterSettings(name="demo", namespaces=("team-*",)),)})
    async with serve(closed) as app:
        client, path = connect(app, secret), f"/v1/deployments/{made['id']}"
        assert (await client.post(f"{path}/rollback", json={})).status_code == 403
        assert (await client.delete(path)).status_code == 403


async def test_a_rollback_asks_whether_its_image_may_be_read(
    app: ASGIApp, connect: Connect, make_key: MakeKey, deployer: httpx.AsyncClient
) -> None:
    first, second = (await deploy(deployer)).json(), (await deploy(deployer, image="myapp:2")).json()
    other = connect(app, await make_key("deployer", repository="other", cluster="demo", namespace="default"))
    for to in (None, first["id"]):
        refused = await other.post(f"/v1/deployments/{second['id']}/rollback", json={"to": to})
        assert (refused.status_code, refused.json()["code"]) == (404, "repository_not_found"), refused.text
    trail = await deployer.get("/v1/audit", params={"action": "deployment.rollback"})
    assert trail.json()["items"] == []
    mine = connect(app, await make_key("deployer", repository="myapp", cluster="demo", namespace="default"))
    assert (await mine.post(f"/v1/deployments/{second['id']}/rollback", json={})).status_code == 202


async def test_pages_are_full_and_their_cursors_tell_nothing_of_what_is_hidden(
    app: ASGIApp, connect: Connect, make_key: MakeKey, deployer: httpx.AsyncClient, aws: Sandbox
) -> None:
    await add_namespaces(aws, "team")
    for namespace in ("team", "default", "team", "default", "default"):
        made = await deployer.post("/v1/deployments", json=BODY | {"namespace": namespace})
        assert made.status_code == 202, made.text
    viewer = connect(app, await make_key("viewer", cluster="demo", namespace="team"))
    first = (await viewer.get("/v1/deployments", params={"limit": 1})).json()
    second = (await viewer.get("/v1/deployments", params={"limit": 1, "cursor": first["next_cursor"]})).json()
    found = [*first["items"], *second["items"]]
    assert [(one["namespace"], one["generation"]) for one in found] == [("team", 2), ("team", 1)]
    assert second["next_cursor"] is None
    for cluster, namespace in (("demo", "other"), ("other", "team"), ("other", "*")):
        nobody = connect(app, await make_key("viewer", cluster=cluster, namespace=namespace))
        hidden = (await nobody.get("/v1/deployments", params={"limit": 1})).json()
        assert hidden == {"items": [], "next_cursor": None}, json.dumps(hidden)


async def test_a_key_of_a_repository_sees_nobodys_deployments(
    app: ASGIApp, connect: Connect, make_key: MakeKey, deployer: httpx.AsyncClient
) -> None:
    made = await deployer.post("/v1/deployments", json=BODY)
    viewer = connect(app, await make_key("viewer", repository="myapp"))
    assert (await viewer.get("/v1/deployments")).json()["items"] == []
    assert (await viewer.get(made.headers["location"])).status_code == 404
