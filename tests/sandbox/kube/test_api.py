"""The API server's reads and writes other than apply: objects, lists, access and bad days."""

import httpx
import pytest

from sandbox.kube.kinds import POD
from tests.sandbox.kube.api_server import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    PODS,
    Cluster,
    changed,
    config_map,
    deployment,
    on_loopback,
    pod,
)

pytestmark = pytest.mark.asyncio


async def _names(cluster: Cluster, path: str, **query: str) -> list[str]:
    answer = await cluster.http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return [one["metadata"]["name"] for one in answer.json()["items"]]


async def test_the_api_describes_itself(cluster: Cluster) -> None:
    version = await cluster.http.get("/version")
    assert (version.json()["major"], version.json()["minor"]) == ("1", "34")
    assert (await cluster.http.get("/api")).json()["versions"] == ["v1"]
    groups = {one["name"] for one in (await cluster.http.get("/apis")).json()["groups"]}
    assert groups == {"apps", "policy", "authorization.k8s.io", "networking.k8s.io"}
    core = (await cluster.http.get("/api/v1")).json()["resources"]
    assert {"pods", "pods/status", "services", "namespaces"} <= {one["name"] for one in core}
    apps = (await cluster.http.get("/apis/apps/v1")).json()["resources"]
    assert next(one for one in apps if one["name"] == "deployments/scale")["kind"] == "Scale"


async def test_health_is_told_to_everyone_and_the_rest_to_the_known(cluster: Cluster) -> None:
    async with cluster.client("forged") as stranger:
        assert (await stranger.get("/readyz")).text == "ok"
        for path in ("/version", "/apis", DEPLOYMENTS):
            refused = await stranger.get(path)
            assert (refused.status_code, refused.json()["message"]) == (401, "Unauthorized")


async def test_what_is_created_can_be_read_and_is_not_created_twice(cluster: Cluster) -> None:
    made = await cluster.http.post(CONFIG_MAPS, json=config_map(a="1"))
    assert made.status_code == 201
    assert made.headers["content-type"] == "application/json"
    assert (await cluster.http.get(f"{CONFIG_MAPS}/settings")).json() == made.json()
    again = await cluster.http.post(CONFIG_MAPS, json=config_map(a="1"))
    assert (again.status_code, again.json()["reason"]) == (409, "AlreadyExists")
    assert again.json()["message"] == 'configmaps "settings" already exists'


async def test_a_body_may_be_yaml(cluster: Cluster) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\ndata: {a: b}\n"
    made = await cluster.http.post(CONFIG_MAPS, content=text, headers={"Content-Type": "application/yaml"})
    assert made.json()["data"] == {"a": "b"}


async def test_a_writer_of_an_old_version_is_refused(cluster: Cluster) -> None:
    made = (await cluster.http.post(CONFIG_MAPS, json=config_map(a="1"))).json()
    assert (await cluster.patch(f"{CONFIG_MAPS}/settings", changed(made, "data.a", "2"))).status_code == 200
    stale = await cluster.patch(f"{CONFIG_MAPS}/settings", changed(made, "data.a", "3"))
    assert (stale.status_code, stale.json()["reason"]) == (409, "Conflict")
    assert "the object has been modified" in stale.json()["message"]


async def test_the_same_again_is_no_change(cluster: Cluster) -> None:
    made = (await cluster.http.post(DEPLOYMENTS, json=deployment())).json()
    patched = await cluster.patch(f"{DEPLOYMENTS}/app", made)
    assert patched.json() == made


@pytest.mark.parametrize("query", [{"fieldSelector": "?"}, {"labelSelector": "a b"}, {"labelSelector": "a in (b)"}])
async def test_a_list_of_no_such_kind_is_400(cluster: Cluster, query: dict[str, str]) -> None:
    assert (await cluster.http.get(PODS, params=query)).status_code == 400


async def test_status_and_spec_are_written_apart(cluster: Cluster) -> None:
    made = (await cluster.http.post(DEPLOYMENTS, json=deployment())).json()
    body = changed(changed(made, "spec.replicas", 5), "status", {"replicas": 1})
    part = (await cluster.patch(f"{DEPLOYMENTS}/app/status", body)).json()
    assert (part["spec"]["replicas"], part["status"], part["metadata"]["generation"]) == (1, {"replicas": 1}, 1)
    main = (await cluster.patch(f"{DEPLOYMENTS}/app", changed(part, "status", {"replicas": 9}))).json()
    assert main["status"] == {"replicas": 1}
    assert (await cluster.http.get(f"{DEPLOYMENTS}/app/status")).json() == main


async def test_scale_is_a_document_of_its_own(cluster: Cluster) -> None:
    await cluster.http.post(DEPLOYMENTS, json=deployment())
    shown = (await cluster.http.get(f"{DEPLOYMENTS}/app/scale")).json()
    assert (shown["kind"], shown["spec"], shown["status"]["selector"]) == ("Scale", {"replicas": 1}, "app=app")
    scaled = await cluster.patch(f"{DEPLOYMENTS}/app/scale", {"spec": {"replicas": 4}})
    assert scaled.json()["spec"] == {"replicas": 4}
    found = (await cluster.http.get(f"{DEPLOYMENTS}/app")).json()
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (4, 2)
    wrong = await cluster.patch(f"{DEPLOYMENTS}/app/scale", {"spec": {"replicas": -1}})
    assert wrong.status_code == 422


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("app=a", ["one", "two"]),
        ("app==a,tier=web", ["one"]),
    ],
)
async def test_lists_by_label(cluster: Cluster, selector: str, names: list[str]) -> None:
    for made in (pod("one", app="a", tier="web"), pod("two", app="a"), pod("three", app="b", tier="db"), pod("bare")):
        await cluster.http.post(PODS, json=made)
    assert await _names(cluster, PODS, labelSelector=selector) == names


async def test_lists_by_field_and_across_namespaces(cluster: Cluster) -> None:
    for name in ("one", "two"):
        await cluster.http.post(PODS, json=pod(name))
    cluster.store.create(POD, {**pod("far"), "metadata": {"name": "far", "namespace": "kube-system"}})
    assert await _names(cluster, "/api/v1/pods") == ["one", "two", "far"]
    assert await _names(cluster, "/api/v1/pods", fieldSelector="metadata.namespace=kube-system") == ["far"]
    assert await _names(cluster, PODS, fieldSelector="metadata.name=two") == ["two"]
    refused = await cluster.http.get(PODS, params={"fieldSelector": "spec.nonsense=1"})
    assert refused.status_code == 400
    assert "field label not supported: spec.nonsense" in refused.json()["message"]


async def test_nothing_is_created_in_a_namespace_that_does_not_exist(cluster: Cluster) -> None:
    path = DEPLOYMENTS.replace("default", "nowhere")
    for refused in (await cluster.http.post(path, json=deployment()), await cluster.apply(path, deployment())):
        assert refused.status_code == 404
        assert refused.json()["message"] == 'namespaces "nowhere" not found'


@pytest.mark.parametrize(
    ("token", "status"),
    [("editor", 201), ("viewer", 403)],
)
async def test_access_goes_by_policy(cluster: Cluster, token: str, status: int) -> None:
    async with cluster.client(token) as client:
        assert (await client.get(DEPLOYMENTS)).status_code == 200
        assert (await client.post(DEPLOYMENTS, json=deployment())).status_code == status
        assert (await client.get("/api/v1/nodes")).status_code == 403


async def test_a_refusal_says_who_what_and_where(cluster: Cluster) -> None:
    async with cluster.client("viewer") as client:
        refused = await client.delete(f"{DEPLOYMENTS}/app")
    assert refused.json()["reason"] == "Forbidden"
    assert refused.json()["message"] == (
        'deployments.apps "app" is forbidden: User "vi" cannot delete resource "deployments" '
        'in API group "apps" in the namespace "default"'
    )


@pytest.mark.parametrize(
    ("verb", "namespace", "allowed"),
    [("patch", "default", True), ("patch", "kube-system", False), ("get", "default", True)],
)
async def test_everyone_may_ask_what_they_may(cluster: Cluster, verb: str, namespace: str, allowed: bool) -> None:  # noqa: FBT001 - a case
    attributes = {"verb": verb, "group": "apps", "resource": "deployments", "namespace": namespace}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    async with cluster.client("editor") as client:
        answer = await client.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json=review)
    assert (answer.status_code, answer.json()["status"]["allowed"]) == (201, allowed)


async def test_kubectl_gets_a_table_where_it_asks_for_one(cluster: Cluster) -> None:
    await cluster.http.post(DEPLOYMENTS, json=deployment(replicas=3))
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    table = (await cluster.http.get(DEPLOYMENTS, headers=accept)).json()
    assert [one["name"] for one in table["columnDefinitions"]] == ["Name", "Ready", "Up-to-date", "Available", "Age"]
    assert table["rows"][0]["cells"][:4] == ["app", "0/3", 0, 0]


@pytest.mark.parametrize("path", ["/api/v1/nonsense", "/apis/apps/v2/deployments", "/apis/x", "/", "/api/v1/pods/a/b"])
async def test_what_does_not_exist_is_404(cluster: Cluster, path: str) -> None:
    refused = await cluster.http.get(path)
    assert refused.status_code == 404
    assert refused.json()["kind"] == "Status"


async def test_each_request_is_noted(cluster: Cluster) -> None:
    async with cluster.client("editor") as client:
        await client.get(f"{PODS}/none", params={"pretty": "true"})
    [call] = cluster.calls.all()
    assert (call.service, call.operation, call.principal, call.status) == ("kube", "GET pods", "ed", 404)
    assert call.parameters == {"pretty": "true", "namespace": "default", "name": "none"}


async def test_a_fault_befalls_the_operation_that_it_names(cluster: Cluster) -> None:
    cluster.faults.add("POST configmaps", "error", when="after")
    failed = await cluster.http.post(CONFIG_MAPS, json=config_map())
    assert (failed.status_code, failed.json()["kind"]) == (500, "Status")
    assert (await cluster.http.get(f"{CONFIG_MAPS}/settings")).status_code == 200


async def test_a_held_request_acts_when_it_is_let_go(cluster: Cluster) -> None:
    hold = cluster.faults.hold("GET pods")
    hold.release()
    assert (await cluster.http.get(f"{PODS}/none")).status_code == 404


async def test_the_server_answers_on_a_socket_too(cluster: Cluster) -> None:
    async with on_loopback(cluster.app) as url, httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/healthz")).text == "ok"
