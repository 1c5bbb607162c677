"""What the API server fills in: defaults, addresses and ports."""

import pytest

from tests.sandbox.kube.api_server import (
    DEPLOYMENTS,
    SERVICES,
    Cluster,
    changed,
    deployment,
    service,
)

pytestmark = pytest.mark.asyncio


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
