"""Who may not know of a registry or a cluster can't tell one that is there from one that is not."""

from typing import Any

import httpx
import pytest
import pytest_asyncio
from starlette.types import ASGIApp

from tests.conftest import Connect, MakeKey
from tests.marks import only_sqlite

pytestmark = [pytest.mark.asyncio, only_sqlite]
WORKLOAD = {"namespace": "default", "name": "app", "image": "team/app:1", "port": 8080}
IN_REGISTRY: list[tuple[str, str, Any]] = [
    ("GET", "/v1/registries/NAME", None),
    ("GET", "/v1/repositories?registry=NAME", None),
    ("GET", "/v1/repositories/team/app?registry=NAME", None),
    ("POST", "/v1/repositories?registry=NAME", {"name": "team/app"}),
    ("DELETE", "/v1/repositories/team/app?registry=NAME", None),
    ("GET", "/v1/images?repository=team/app&registry=NAME", None),
    ("GET", "/v1/images/team/app:1?registry=NAME", None),
    ("PUT", "/v1/images/team/app:1?registry=NAME", {"source": "2"}),
    ("GET", "/v1/policies/repositories/team/app?registry=NAME", None),
    ("POST", "/v1/tokens?registry=NAME", {"repositories": ["team/app"], "actions": ["pull"]}),
    ("POST", "/v1/tokens?registry=NAME", {"scope": "registry", "actions": ["pull"]}),
]


@pytest_asyncio.fixture
async def elsewhere(app: ASGIApp, connect: Connect, make_key: MakeKey) -> httpx.AsyncClient:
    """A caller of another registry than the default one, and of no cluster."""
    return connect(app, await make_key("developer", registry="local-us", repository="team"))


@pytest.mark.parametrize(("method", "url", "body"), IN_REGISTRY)
async def test_registries_are_not_told_apart(elsewhere: httpx.AsyncClient, method: str, url: str, body: object) -> None:
    there = _said(await elsewhere.request(method, url.replace("NAME", "local"), json=body))
    missing = _said(await elsewhere.request(method, url.replace("NAME", "nowhere"), json=body))
    by_default = _said(await elsewhere.request(method, url.replace("?registry=NAME", "").replace("&registry=NAME", "")))
    assert there == missing
    assert (there["status"], there["code"]) == (404, "registry_not_found")
    assert "local" not in by_default["detail"]


async def test_the_trail_of_their_own_does_not_tell_either(
    elsewhere: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    for name in ("local", "nowhere"):
        await elsewhere.post("/v1/repositories", params={"registry": name}, json={"name": "team/app"})
    await elsewhere.post("/v1/repositories", params={"registry": "local-us"}, json={"name": "other/app"})
    own = (await elsewhere.get("/v1/audit")).json()["items"]
    assert [(one["target"], one["status"]) for one in own] == [("local-us/other/app", "refused")]
    seen = (await admin.get("/v1/audit", params={"target": "local/team/app"})).json()["items"]
    assert [(one["status"], one["code"]) for one in seen] == [("refused", "registry_not_found")]
    assert (await elsewhere.get(f"/v1/audit/{seen[0]['id']}")).status_code == 404


@pytest.mark.parametrize("route", ["get", "preflight", "create", "preview"])
async def test_clusters_are_not_told_apart(app: ASGIApp, connect: Connect, make_key: MakeKey, route: str) -> None:
    client = connect(
        app, await make_key("deployer", registry="*", repository="*", cluster="another", namespace="default")
    )
    there, missing = [await _ask(client, route, name) for name in ("demo", "nowhere")]
    assert (there["status"], there["code"]) == (404, "cluster_not_found")
    assert there == missing


async def _ask(client: httpx.AsyncClient, route: str, cluster: str) -> dict[str, Any]:
    if route == "get":
        answer = await client.get(f"/v1/clusters/{cluster}")
    elif route == "preflight":
        answer = await client.get(f"/v1/clusters/{cluster}/preflight?image=team/app:1&registry=nowhere")
    else:
        dry = {"dry_run": "true"} if route == "preview" else {}
        answer = await client.post("/v1/deployments", params=dry, json=WORKLOAD | {"cluster": cluster})
    said = _said(answer)
    return said | {"detail": said["detail"].replace(cluster, "NAME")}


def _said(answer: httpx.Response) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if name != "request_id"}
