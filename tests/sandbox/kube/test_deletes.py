"""What is deleted: by name and version, after its finalizers, with its namespace."""

import pytest

from tests.sandbox.kube.api_server import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    PODS,
    SERVICES,
    Cluster,
    changed,
    config_map,
    deployment,
    pod,
    service,
)

pytestmark = pytest.mark.asyncio


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
