"""The roles of `deploy/cluster/`: enough for all that wharfinger does in a cluster, and nothing that it does not do.

The sandbox's cluster knows wharfinger by them alone, so every other test of deployments stands on them too.
"""

from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from sandbox.server import Sandbox
from tests.images import publish
from tests.marks import only_sqlite
from tests.sandbox.clients import sdk

OBJECTS = list(yaml.safe_load_all((Path(__file__).parents[1] / "deploy" / "cluster" / "access.yaml").read_text()))
BODY: dict[str, Any] = {"cluster": "demo", "name": "myapp", "image": "myapp:1", "port": 8080, "namespace": "default"}
WAIT = {"wait": "30"}


def test_the_rules_are_those_that_were_agreed() -> None:
    allowed = {
        (one["metadata"]["name"], group, resource, " ".join(rule["verbs"]))
        for one in OBJECTS
        if one["kind"] == "ClusterRole"
        for rule in one["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert allowed == {
        ("wharfinger-deploys", "apps", "deployments", "get watch create patch delete"),
        ("wharfinger-deploys", "", "services", "get watch create patch delete"),
        ("wharfinger-deploys", "", "pods", "list watch"),
        ("wharfinger-deploys", "apps", "replicasets", "list"),
        ("wharfinger-nodes", "", "nodes", "list"),
    }


def test_each_role_is_bound_to_the_group_alone() -> None:
    bindings = {one["roleRef"]["name"]: one["subjects"] for one in OBJECTS if one["kind"] == "ClusterRoleBinding"}
    group = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "wharfinger"}
    assert bindings == {"wharfinger-deploys": [group], "wharfinger-nodes": [group]}


@only_sqlite
@pytest.mark.asyncio
async def test_a_deploy_its_rollback_and_its_removal_take_no_more(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    await publish(aws, "myapp", "1", "2")
    async with sdk("eks", aws) as eks:
        mine = {"clusterName": "demo", "principalArn": "arn:aws:iam::111111111111:role/wharfinger"}
        assert (await eks.describe_access_entry(**mine))["accessEntry"]["kubernetesGroups"] == ["wharfinger"]
        assert (await eks.list_associated_access_policies(**mine))["associatedAccessPolicies"] == []

    assert (await admin.get("/v1/clusters/demo/preflight", params={"image": "myapp:1"})).json()["verdict"] == "ok"
    for image in ("myapp:1", "myapp:2"):
        asked = BODY | {"image": image, "service_type": "NodePort"}
        assert (await admin.post("/v1/deployments", params={"dry_run": "true"}, json=asked)).status_code == 200
        made = await admin.post("/v1/deployments", params=WAIT, json=asked)
        assert made.status_code == 200, made.text
    back = await admin.post(f"/v1/deployments/{made.json()['id']}/rollback", params=WAIT, json={})
    assert back.status_code == 200, back.text
    removed = await admin.delete(f"/v1/deployments/{back.json()['id']}", params=WAIT)
    assert removed.status_code in {200, 204}, removed.text

    calls = [
        call for call in aws.calls() if call.service == "kube" and "assumed-role/wharfinger/" in str(call.principal)
    ]
    assert {call.status for call in calls} & {401, 403} == set()
    assert {call.operation for call in calls} == {
        "GET deployments",
        "WATCH deployments",
        "PATCH deployments",
        "DELETE deployments",
        "GET services",
        "PATCH services",
        "DELETE services",
        "LIST pods",
        "WATCH pods",
        "LIST replicasets",
        "LIST nodes",
        "POST selfsubjectaccessreviews",
    }
