"""The API server's reads and writes other than apply: objects, lists, patches, deletes, access and bad days."""

from collections.abc import AsyncIterator

import httpx
import pytest

from sandbox.kube.kinds import POD
from tests.sandbox.kube.api_server import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    PODS,
    SERVICES,
    Cluster,
    changed,
    config_map,
    deployment,
    on_loopback,
    pod,
    service,
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


async def test_defaults_are_those_of_a_real_server(cluster: Cluster) -> None:
    made = (await cluster.http.post(DEPLOYMENTS, json=deployment())).json()
    spec = made["spec"]
    assert made["metadata"]["generation"] == 1
    assert (spec["replicas"], spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (1, 10, 600)
    rolling = {"maxUnavailable": "25%", "maxSurge": "25%"}
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}
    template = spec["template"]["spec"]
    assert {name: value for name, value in template.items() if name != "containers"} == {
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    }
    assert template["containers"] == [
        {
            "name": "c",
            "image": "registry.test/app:1",
            "imagePullPolicy": "IfNotPresent",
            "ports": [{"containerPort": 8080, "protocol": "TCP"}],
            "resources": {},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        }
    ]


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("app", "Always"),
        ("r:5000/app", "Always"),
        ("app:latest", "Always"),
        ("r/app@sha256:" + "0" * 64, "IfNotPresent"),
    ],
)
async def test_the_pull_policy_goes_by_the_tag(cluster: Cluster, image: str, policy: str) -> None:
    sent = changed(deployment(), "spec.template.spec.containers.0.image", image)
    made = (await cluster.http.post(DEPLOYMENTS, json=sent)).json()
    assert made["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] == policy


async def test_a_service_gets_an_address_and_node_ports_of_its_own(cluster: Cluster) -> None:
    plain = (await cluster.http.post(SERVICES, json=service("plain"))).json()["spec"]
    assert (plain["type"], plain["sessionAffinity"], plain["ipFamilies"]) == ("ClusterIP", "None", ["IPv4"])
    assert plain["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    made = [
        (await cluster.http.post(SERVICES, json=service(name, type="NodePort"))).json()["spec"] for name in ("a", "b")
    ]
    assert len({plain["clusterIP"], *(one["clusterIP"] for one in made)}) == 3
    first, second = (one["ports"][0]["nodePort"] for one in made)
    assert first != second
    assert {first, second} <= set(range(30000, 32768))
    headless = (await cluster.http.post(SERVICES, json=service("none", clusterIP="None"))).json()["spec"]
    assert headless["clusterIP"] == "None"


async def test_an_update_keeps_what_was_allocated(cluster: Cluster) -> None:
    made = (await cluster.http.post(SERVICES, json=service(type="NodePort"))).json()
    without = [{"op": "remove", "path": f"/spec/{name}"} for name in ("clusterIP", "clusterIPs", "ports/0/nodePort")]
    patched = await cluster.patch(f"{SERVICES}/app", without, "json")
    assert patched.status_code == 200
    assert patched.json()["spec"] == made["spec"]


async def test_a_released_node_port_can_be_had_again(cluster: Cluster) -> None:
    port = [{"port": 80, "nodePort": 32410}]
    await cluster.http.post(SERVICES, json=service("a", port=port, type="NodePort"))
    taken = await cluster.http.post(SERVICES, json=service("b", port=port, type="NodePort"))
    assert taken.status_code == 422
    await cluster.http.delete(f"{SERVICES}/a")
    assert (await cluster.http.post(SERVICES, json=service("b", port=port, type="NodePort"))).status_code == 201


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


async def test_patches_of_three_kinds(cluster: Cluster) -> None:
    await cluster.http.post(DEPLOYMENTS, json=deployment())
    at = f"{DEPLOYMENTS}/app"
    merged = await cluster.patch(at, {"spec": {"replicas": 2}})
    assert (merged.json()["spec"]["replicas"], merged.json()["metadata"]["generation"]) == (2, 2)
    container = {"name": "c", "image": "registry.test/app:2"}
    joined = await cluster.patch(at, {"spec": {"template": {"spec": {"containers": [container]}}}}, "strategic-merge")
    assert joined.json()["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert joined.json()["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.test/app:2"
    stepped = await cluster.patch(
        at,
        [{"op": "test", "path": "/spec/replicas", "value": 2}, {"op": "replace", "path": "/spec/replicas", "value": 3}],
        "json",
    )
    assert stepped.json()["spec"]["replicas"] == 3
    failed = await cluster.patch(at, [{"op": "test", "path": "/spec/replicas", "value": 2}], "json")
    assert failed.status_code == 422


async def test_a_patch_is_laid_over_what_is_there_once_all_of_it_has_come(cluster: Cluster) -> None:
    await cluster.http.post(CONFIG_MAPS, json=config_map(a="1"))
    at = f"{CONFIG_MAPS}/settings"

    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"data": {'
        await cluster.patch(at, {"data": {"b": "2"}})
        yield b'"c": "3"}}'

    patched = await cluster.http.patch(at, content=slowly(), headers={"Content-Type": "application/merge-patch+json"})
    assert (patched.status_code, patched.json()["data"]) == (200, {"a": "1", "b": "2", "c": "3"})


async def test_a_patch_must_say_of_which_kind_it_is(cluster: Cluster) -> None:
    await cluster.http.post(CONFIG_MAPS, json=config_map())
    refused = await cluster.http.patch(f"{CONFIG_MAPS}/settings", json={"data": {"a": "1"}})
    assert (refused.status_code, refused.json()["reason"]) == (415, "UnsupportedMediaType")


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("json", {"op": "add"}),
        ("json", ["add"]),
        ("json", [{"op": "remove", "path": "/none"}]),
        ("json", [{"op": "add", "path": "/metadata/labels/x/y/z", "value": 1}]),
        ("json", [{"op": "test", "path": "/metadata/name", "value": "other"}]),
        ("json", [{"op": "nothing", "path": "/metadata"}]),
        ("strategic-merge", {"spec": {"ports": [1]}}),
    ],
)
async def test_a_patch_that_is_none_changes_nothing(cluster: Cluster, kind: str, patch: object) -> None:
    made = (await cluster.http.post(SERVICES, json=service())).json()
    assert (await cluster.patch(f"{SERVICES}/app", patch, kind)).status_code in (400, 422)
    assert (await cluster.http.get(f"{SERVICES}/app")).json() == made


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


async def test_a_delete_may_name_what_it_means(cluster: Cluster) -> None:
    made = (await cluster.http.post(CONFIG_MAPS, json=config_map())).json()
    at = f"{CONFIG_MAPS}/settings"
    other = {"preconditions": {"uid": "another"}}
    assert (await cluster.http.request("DELETE", at, json=other)).status_code == 409
    assert (await cluster.http.delete(at, params={"dryRun": "All"})).status_code == 200
    right = {"preconditions": {"uid": made["metadata"]["uid"]}, "propagationPolicy": "Background"}
    done = await cluster.http.request("DELETE", at, json=right)
    assert (done.json()["status"], done.json()["details"]["uid"]) == ("Success", made["metadata"]["uid"])
    gone = await cluster.http.get(at)
    assert gone.json()["message"] == 'configmaps "settings" not found'


async def test_a_delete_answers_the_object_or_a_status(cluster: Cluster) -> None:
    for path, made, kind in ((PODS, pod("app"), "Pod"), (SERVICES, service(), "Service")):
        kept = (await cluster.http.post(path, json=made)).json()
        deleted = (await cluster.http.delete(f"{path}/app")).json()
        assert (deleted["kind"], deleted["metadata"]["uid"]) == (kind, kept["metadata"]["uid"])
    await cluster.http.post(DEPLOYMENTS, json=deployment())
    deleted = (await cluster.http.delete(f"{DEPLOYMENTS}/app")).json()
    assert (deleted["kind"], deleted["details"]["kind"]) == ("Status", "deployments")


@pytest.mark.parametrize("kind", ["merge", "strategic-merge"])
async def test_what_a_patch_empties_is_as_if_it_had_never_been(cluster: Cluster, kind: str) -> None:
    made = (await cluster.http.post(DEPLOYMENTS, json=deployment())).json()
    nothing = {
        "metadata": {"annotations": {"a": None}, "labels": {}},
        "spec": {"nodeSelector": {"a": None}, "volumes": [], "tolerations": None},
    }
    patched = (await cluster.patch(f"{DEPLOYMENTS}/app", {"spec": {"template": nothing}}, kind)).json()
    assert patched["spec"] == made["spec"]
    assert patched["metadata"]["generation"] == 1


async def test_string_data_is_kept_as_data(cluster: Cluster) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "stringData": {"user": "me"}}
    path = "/api/v1/namespaces/default/secrets"
    kept = (await cluster.http.post(path, json=secret)).json()
    assert (kept["data"], "stringData" in kept) == ({"user": "bWU="}, False)
    more = {"stringData": {"user": "you", "password": "ü"}}
    patched = (await cluster.patch(f"{path}/login", more)).json()
    assert (patched["data"], "stringData" in patched) == ({"user": "eW91", "password": "w7w="}, False)
    applied = (await cluster.apply(path, secret | {"metadata": {"name": "other"}})).json()
    assert (applied["data"], "stringData" in applied) == ({"user": "bWU="}, False)


async def test_an_object_with_a_finalizer_waits_for_it(cluster: Cluster) -> None:
    await cluster.http.post(CONFIG_MAPS, json=changed(config_map(), "metadata.finalizers", ["test/hold"]))
    at = f"{CONFIG_MAPS}/settings"
    await cluster.http.delete(at)
    assert (await cluster.http.get(at)).json()["metadata"]["deletionTimestamp"]
    await cluster.patch(at, {"metadata": {"finalizers": None}})
    assert (await cluster.http.get(at)).status_code == 404


async def test_namespaces_come_and_go_but_for_those_that_last(cluster: Cluster) -> None:
    sent = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}
    made = (await cluster.http.post("/api/v1/namespaces", json=sent)).json()
    assert made["status"] == {"phase": "Active"}
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "team"}
    deleted = (await cluster.http.delete("/api/v1/namespaces/team")).json()
    assert (deleted["kind"], deleted["status"]) == ("Namespace", {"phase": "Terminating"})
    assert deleted["metadata"]["uid"] == made["metadata"]["uid"]
    assert (await cluster.http.delete("/api/v1/namespaces/default")).status_code == 403


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
