"""What a deploy and a preflight ask of AWS and of the cluster: each thing once, however many gates want it."""

from collections import Counter

import httpx
import pytest
import pytest_asyncio

from sandbox.server import Sandbox
from tests.api.deploying import BODY
from tests.conftest import SECOND_REGION
from tests.images import image, publish, push_image
from tests.marks import only_sqlite

pytestmark = [pytest.mark.asyncio, only_sqlite]

DEPLOY = {
    "ecr DescribeImages": 1,
    "ecr BatchGetImage": 1,
    "ecr GetDownloadUrlForLayer": 1,
    "ecr DescribeRepositories": 1,
    "kube LIST nodes": 1,
    "kube GET deployments": 1,
    "kube GET services": 1,
    "kube PATCH deployments": 1,
    "kube PATCH services": 1,
}
PREFLIGHT = {
    "ecr DescribeImages": 1,
    "ecr BatchGetImage": 1,
    "ecr GetDownloadUrlForLayer": 1,
    "ecr GetRepositoryPolicy": 1,
    "eks DescribeCluster": 1,
    "eks ListNodegroups": 1,
    "eks DescribeNodegroup": 1,
    "eks ListFargateProfiles": 1,
    "iam GetRole": 1,
    "iam ListAttachedRolePolicies": 1,
    "iam ListRolePolicies": 1,
    "iam GetPolicy": 1,
    "iam GetPolicyVersion": 1,
    "kube LIST nodes": 1,
    "kube PATCH services": 1,
    "kube POST selfsubjectaccessreviews": 10,
}


@pytest_asyncio.fixture
async def warm(aws: Sandbox, deployer: httpx.AsyncClient, admin: httpx.AsyncClient) -> Sandbox:
    """With the image `myapp:1` in two Regions, and a service that has logged in wherever it asks."""
    await publish(aws, "myapp", "1")
    await admin.post("/v1/repositories", params={"registry": "local-us"}, json={"name": "myapp"})
    await push_image(aws, "myapp", "1", image("1"), region=SECOND_REGION)
    for registry in ("local", "local-us"):
        await preflight(deployer, registry=registry)
    return aws


async def preflight(client: httpx.AsyncClient, **parameters: str) -> None:
    answer = await client.get("/v1/clusters/demo/preflight", params={"image": "myapp:1"} | parameters)
    assert answer.status_code == 200, answer.text


async def deploy(client: httpx.AsyncClient, **changes: str) -> None:
    answer = await client.post("/v1/deployments", params={"dry_run": "true"}, json=BODY | changes)
    assert answer.status_code == 200, answer.text


def asked_since(aws: Sandbox, before: int) -> Counter[str]:
    return Counter(f"{one.service} {one.operation}" for one in aws.calls()[before:])


async def printed(client: httpx.AsyncClient) -> str:
    """The reference in the long form in which it is printed: with the host, and with tag and digest."""
    found = (await client.get("/v1/images/myapp:1")).json()
    host = found["uri"].partition("/")[0]
    return f"{host}/myapp:1@{found['digest']}"


async def test_a_deploy_asks_for_nothing_that_only_a_preflight_reports(
    warm: Sandbox, deployer: httpx.AsyncClient
) -> None:
    for form in ("myapp:1", await printed(deployer)):
        before = len(warm.calls())
        await deploy(deployer, image=form)
        assert asked_since(warm, before) == DEPLOY, form


async def test_a_preflight_asks_once_what_several_gates_want(warm: Sandbox, deployer: httpx.AsyncClient) -> None:
    before = len(warm.calls())
    await preflight(deployer)
    assert asked_since(warm, before) == PREFLIGHT


async def test_from_another_region_only_the_replica_is_asked_for_beside(
    warm: Sandbox, deployer: httpx.AsyncClient
) -> None:
    before = len(warm.calls())
    await preflight(deployer, registry="local-us")
    described = [one.region for one in warm.calls()[before:] if one.operation == "DescribeImages"]
    assert sorted(described) == ["eu-central-1", "us-east-1"]
