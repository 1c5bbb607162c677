"""Deployments that the cluster refuses: who we are there, what a namespace lets in, what its nodes have room for."""

from typing import Any

import httpx
import pytest
import pytest_asyncio

from sandbox.server import Sandbox
from tests.api.deploying import deploy
from tests.conftest import ACCOUNT
from tests.images import publish
from tests.marks import only_sqlite
from tests.sandbox.clients import sdk

pytestmark = [pytest.mark.asyncio, only_sqlite]
ROLE = f"arn:aws:iam::{ACCOUNT}:role/wharfinger"
MINE = {"clusterName": "demo", "principalArn": ROLE}
EDIT = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSEditPolicy"
SHORT = "PT3S"
"""A Deployment's conditions are in whole seconds, so a deadline may come up to a second early."""


@pytest_asyncio.fixture(autouse=True)
async def pushed(aws: Sandbox) -> None:
    await publish(aws, "myapp", "1")


async def accepted(client: httpx.AsyncClient) -> list[Any]:
    return list((await client.get("/v1/deployments")).json()["items"])


async def pods_of(kube: httpx.AsyncClient) -> list[dict[str, Any]]:
    return list((await kube.get("/api/v1/namespaces/default/pods")).json()["items"])


def reason_of(answer: httpx.Response) -> dict[str, Any]:
    """Why the deployment that was waited for failed."""
    assert (answer.status_code, answer.json()["code"]) == (409, "deployment_failed"), answer.text
    return dict(answer.json()["deployment"]["reason"])


async def test_without_an_access_entry_the_problem_says_whose_is_missing(
    deployer: httpx.AsyncClient, aws: Sandbox
) -> None:
    async with sdk("eks", aws) as eks:
        await eks.delete_access_entry(**MINE)
    answer = await deploy(deployer)
    assert (answer.status_code, answer.json()["code"]) == (502, "cluster_access_missing"), answer.text
    assert "access entry" in answer.json()["detail"]
    # What an access entry is made for is the role, and not its session.
    assert f"{ROLE}:" in answer.json()["detail"]
    assert await accepted(deployer) == []


async def test_an_access_entry_that_comes_later_is_used_at_once(deployer: httpx.AsyncClient, aws: Sandbox) -> None:
    async with sdk("eks", aws) as eks:
        await eks.delete_access_entry(**MINE)
        assert (await deploy(deployer)).status_code == 502
        await eks.create_access_entry(**MINE, kubernetesGroups=["wharfinger"])
    assert (await deploy(deployer)).status_code == 200


async def test_without_rights_in_the_namespace_the_problem_says_what_was_refused(
    deployer: httpx.AsyncClient, aws: Sandbox, kube: httpx.AsyncClient
) -> None:
    (await kube.post("/api/v1/namespaces", json={"metadata": {"name": "team"}})).raise_for_status()
    async with sdk("eks", aws) as eks:
        await eks.delete_access_entry(**MINE)
        await eks.create_access_entry(**MINE)
        for policy, scope in (
            (EDIT, {"type": "namespace", "namespaces": ["team"]}),
            (EDIT.replace("AmazonEKSEditPolicy", "AmazonEKSAdminViewPolicy"), {"type": "cluster"}),
        ):
            await eks.associate_access_policy(**MINE, policyArn=policy, accessScope=scope)
    answer = await deploy(deployer)
    assert (answer.status_code, answer.json()["code"]) == (502, "cluster_permission_missing"), answer.text
    assert "assumed-role/wharfinger/" in answer.json()["detail"]
    assert 'cannot patch resource "' in answer.json()["detail"]
    assert 'in the namespace "default"' in answer.json()["detail"]
    assert await accepted(deployer) == []
    assert (await deploy(deployer, namespace="team")).status_code == 200


@pytest.mark.parametrize(
    ("hard", "changes", "words"),
    [
        ({"pods": "1"}, {"replicas": 2}, "exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1"),
        (
            {"requests.cpu": "500m"},
            {"resources": {"requests": {"cpu": "600m"}}},
            "exceeded quota: few, requested: requests.cpu=600m, used: requests.cpu=0, limited: requests.cpu=500m",
        ),
        ({"requests.memory": "1Gi"}, {}, "failed quota: few: must specify requests.memory for: myapp"),
    ],
    ids=["pods", "cpu", "unstated"],
)
async def test_past_a_quota_it_fails_in_the_words_of_the_api_server(
    deployer: httpx.AsyncClient, kube: httpx.AsyncClient, hard: dict[str, str], changes: dict[str, Any], words: str
) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": hard}}
    (await kube.post("/api/v1/namespaces/default/resourcequotas", json=quota)).raise_for_status()
    reason = reason_of(await deploy(deployer, progress_deadline=SHORT, **changes))
    assert reason["code"] == "quota_exceeded", reason
    assert words in reason["message"]
    assert reason["message"].startswith('pods "myapp-')


async def test_a_pod_that_pod_security_refuses_fails_in_its_words(
    deployer: httpx.AsyncClient, kube: httpx.AsyncClient
) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    (await kube.post("/api/v1/namespaces", json={"metadata": {"name": "strict", "labels": labels}})).raise_for_status()
    reason = reason_of(await deploy(deployer, namespace="strict", progress_deadline=SHORT))
    assert reason["code"] == "admission_refused"
    assert 'violates PodSecurity "restricted:latest": ' in reason["message"]
    assert 'container "myapp" must set securityContext.runAsNonRoot=true' in reason["message"]


async def test_a_service_account_that_is_not_there_is_what_its_pods_are_refused_for(
    admin: httpx.AsyncClient,
) -> None:
    reason = reason_of(await deploy(admin, service_account="nobody", progress_deadline=SHORT))
    assert reason["code"] == "admission_refused"
    assert 'serviceaccount "nobody" not found' in reason["message"]


async def test_where_no_node_has_room_it_fails_in_the_words_of_the_scheduler(
    deployer: httpx.AsyncClient, kube: httpx.AsyncClient
) -> None:
    asked = {"requests": {"cpu": "64", "memory": "1Ti"}}
    reason = reason_of(await deploy(deployer, resources=asked, progress_deadline=SHORT))
    [pod] = await pods_of(kube)
    [scheduled] = [one for one in pod["status"]["conditions"] if one["type"] == "PodScheduled"]
    assert reason == {
        "code": "unschedulable",
        "message": scheduled["message"],
        "pod": pod["metadata"]["name"],
        "container": None,
    }
    assert "0/2 nodes are available: 2 Insufficient cpu, 2 Insufficient memory" in scheduled["message"]


async def test_the_reason_is_known_though_the_pods_watch_has_not_answered(
    deployer: httpx.AsyncClient, aws: Sandbox
) -> None:
    aws.hold("WATCH pods")
    answer = await deploy(deployer, resources={"requests": {"cpu": "64"}}, progress_deadline=SHORT)
    assert reason_of(answer)["code"] == "unschedulable"


async def test_what_is_refused_leaves_the_pods_that_serve(deployer: httpx.AsyncClient, kube: httpx.AsyncClient) -> None:
    good = (await deploy(deployer)).json()
    asked = {"requests": {"cpu": "64"}}
    assert reason_of(await deploy(deployer, resources=asked, progress_deadline=SHORT))["code"] == "unschedulable"
    async with httpx.AsyncClient(trust_env=False) as anybody:
        [answer] = [await anybody.get(url) for url in good["urls"]]
    pods = {one["metadata"]["name"]: one for one in await pods_of(kube)}
    serving = pods[answer.json()["pod"]]["spec"]["containers"][0]
    assert (answer.status_code, serving.get("resources")) == (200, {})


async def test_a_node_port_of_somebody_elses_service_is_a_conflict(
    deployer: httpx.AsyncClient, kube: httpx.AsyncClient
) -> None:
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "theirs"},
        "spec": {"type": "NodePort", "selector": {"app": "theirs"}, "ports": [{"port": 80, "nodePort": 32410}]},
    }
    (await kube.post("/api/v1/namespaces/kube-public/services", json=theirs)).raise_for_status()
    answer = await deploy(deployer, node_port=32410)
    assert (answer.status_code, answer.json()["code"]) == (409, "node_port_taken"), answer.text
    [wrong] = answer.json()["errors"]
    assert wrong["path"] == "spec.ports[0].nodePort"
    assert "provided port is already allocated" in wrong["reason"]
    assert await accepted(deployer) == []


@pytest.mark.parametrize("port", [29999, 32768])
async def test_a_node_port_out_of_range_is_named_by_its_path(deployer: httpx.AsyncClient, port: int) -> None:
    answer = await deploy(deployer, node_port=port)
    assert answer.status_code == 422
    assert [one["path"] for one in answer.json()["errors"]] == ["body.node_port"]
