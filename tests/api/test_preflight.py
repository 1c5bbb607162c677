"""The preflight over HTTP: can the nodes of a cluster pull an image? Against the stand-in's EKS, IAM and ECR."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from sandbox.places import OTHER_ACCOUNT
from sandbox.server import Sandbox
from service.base.settings import ClusterSettings, RegistrySettings, Settings
from tests.administrator import administrator
from tests.conftest import ACCOUNT, REGION, SECOND_REGION, Connect, MakeKey, Serve
from tests.images import image, publish, push_image
from tests.marks import only_sqlite
from tests.sandbox.clients import sdk

pytestmark = [pytest.mark.asyncio, only_sqlite]

Sdk = Any
"""A client of the AWS SDK."""

NODE_ROLE = f"arn:aws:iam::{ACCOUNT}:role/demo-node"
PULL_ONLY = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPullOnly"
PULL = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
)
GOOD = {
    "platforms": "ok",
    "permissions": "ok",
    "namespace": "ok",
    "node_roles": "ok",
    "repository_policy": "ok",
    "region": "ok",
}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow"} | one for one in statements]})


@pytest_asyncio.fixture
async def pushed(aws: Sandbox) -> Sandbox:
    """The repository `myapp` with the tags `1` and, for another architecture, `arm`."""
    await publish(aws, "myapp", "1")
    await push_image(aws, "myapp", "arm", image("three", "arm64"))
    return aws


@pytest_asyncio.fixture
async def eks(pushed: Sandbox) -> AsyncIterator[Sdk]:
    """EKS as the account's operator."""
    async with sdk("eks", pushed) as client:
        yield client


@pytest_asyncio.fixture
async def iam(pushed: Sandbox) -> AsyncIterator[Sdk]:
    """IAM as the account's operator."""
    async with sdk("iam", pushed) as client:
        yield client


async def look(client: httpx.AsyncClient, image_name: str = "myapp:1", **parameters: str) -> dict[str, Any]:
    """The checks by name, and the `verdict` of them all."""
    answer = await client.get("/v1/clusters/demo/preflight", params={"image": image_name} | parameters)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    return {one["name"]: one for one in found["checks"]} | {"verdict": found["verdict"]}


def verdicts(found: dict[str, Any]) -> dict[str, str]:
    return {name: one["verdict"] for name, one in found.items() if name != "verdict"}


@pytest.mark.usefixtures("pushed")
@pytest.mark.parametrize(
    ("image_name", "platforms", "verdict"),
    [("myapp:1", "ok", "ok"), ("myapp:arm", "failed", "failed"), ("myapp:9", "failed", "failed")],
)
async def test_each_check_says_what_it_found(
    viewer: httpx.AsyncClient, image_name: str, platforms: str, verdict: str
) -> None:
    found = await look(viewer, image_name)
    assert verdicts(found) == GOOD | {"platforms": platforms}
    assert found["verdict"] == verdict
    assert found["node_roles"]["detail"] == "Role demo-node (node group demo-nodes) may pull."


async def test_a_role_without_a_policy_fails_and_says_what_to_attach(viewer: httpx.AsyncClient, iam: Sdk) -> None:
    await iam.detach_role_policy(RoleName="demo-node", PolicyArn=PULL_ONLY)
    found = await look(viewer)
    assert found["verdict"] == found["node_roles"]["verdict"] == "failed"
    assert "Role demo-node (node group demo-nodes) may not: ecr:GetAuthorizationToken" in found["node_roles"]["detail"]
    assert found["node_roles"]["advice"] == "Attach AmazonEC2ContainerRegistryPullOnly to role demo-node."


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (
            [
                {"Action": "ecr:GetAuthorizationToken", "Resource": "*"},
                {"Action": PULL, "Resource": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/*"},
            ],
            "ok",
        ),
        (
            [
                {"Action": "ecr:GetAuthorizationToken", "Resource": "*"},
                {"Action": PULL, "Resource": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/team/*"},
            ],
            "failed",
        ),
        ([{"Action": "ecr:*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "true"}}}], "unknown"),
    ],
)
async def test_an_equivalent_document_of_the_roles_own_counts(
    viewer: httpx.AsyncClient,
    iam: Sdk,
    statements: list[dict[str, Any]],
    expected: str,
) -> None:
    await iam.detach_role_policy(RoleName="demo-node", PolicyArn=PULL_ONLY)
    await iam.put_role_policy(RoleName="demo-node", PolicyName="own", PolicyDocument=document(*statements))
    assert (await look(viewer))["node_roles"]["verdict"] == expected


@pytest.mark.parametrize("stars", ["*" * 64 + "s", "*a" * 64])
async def test_a_policy_full_of_wildcards_is_judged_like_any_other(
    viewer: httpx.AsyncClient, admin: httpx.AsyncClient, iam: Sdk, stars: str
) -> None:
    """What it takes may not double with each of them: a caller's policy could stop a replica."""
    own = document({"Action": f"ecr:{stars}", "Resource": f"arn:aws:ecr:*:*:{stars}"})
    await iam.put_role_policy(RoleName="demo-node", PolicyName="own", PolicyDocument=own)
    policy = {"Effect": "Deny", "Principal": {"AWS": ACCOUNT}, "Action": ["ecr:PutImage", f"ecr:{'*' * 64}ForLayer"]}
    put = await admin.put("/v1/policies/repositories/myapp", content=document(policy))
    assert put.status_code == 200, put.text

    found = await look(viewer)

    assert (found["node_roles"]["verdict"], found["repository_policy"]["verdict"]) == ("ok", "failed")


async def test_a_managed_policy_of_the_account_is_read_in_its_default_version(
    viewer: httpx.AsyncClient, iam: Sdk
) -> None:
    await iam.detach_role_policy(RoleName="demo-node", PolicyArn=PULL_ONLY)
    nothing = document({"Action": "s3:GetObject", "Resource": "*"})
    made = await iam.create_policy(PolicyName="nodes", PolicyDocument=nothing)
    arn = made["Policy"]["Arn"]
    await iam.attach_role_policy(RoleName="demo-node", PolicyArn=arn)
    assert (await look(viewer))["node_roles"]["verdict"] == "failed"
    pulling = document({"Action": "ecr:*", "Resource": "*"})
    await iam.create_policy_version(PolicyArn=arn, PolicyDocument=pulling, SetAsDefault=True)
    assert (await look(viewer))["node_roles"]["verdict"] == "ok"


async def test_a_deny_beside_the_managed_policy_fails(viewer: httpx.AsyncClient, iam: Sdk) -> None:
    deny = document({"Effect": "Deny", "Action": "ecr:BatchGetImage", "Resource": "*"})
    await iam.put_role_policy(RoleName="demo-node", PolicyName="deny", PolicyDocument=deny)
    found = (await look(viewer))["node_roles"]
    assert (found["verdict"], found["detail"]) == (
        "failed",
        "Role demo-node (node group demo-nodes) is denied: ecr:BatchGetImage.",
    )
    assert found["advice"].startswith("Take the Deny out of the policies of role demo-node")


async def test_a_permissions_boundary_leaves_it_open(viewer: httpx.AsyncClient, iam: Sdk) -> None:
    await iam.put_role_permissions_boundary(RoleName="demo-node", PermissionsBoundary=PULL_ONLY)
    found = (await look(viewer))["node_roles"]
    assert found["verdict"] == "unknown"
    assert "permissions boundary" in found["detail"]


async def test_many_policies_are_read_page_by_page(viewer: httpx.AsyncClient, iam: Sdk, aws: Sandbox) -> None:
    nothing = document({"Action": "s3:GetObject", "Resource": "*"})
    for number in range(100):
        made = await iam.create_policy(PolicyName=f"p{number}", PolicyDocument=nothing)
        await iam.attach_role_policy(RoleName="demo-node", PolicyArn=made["Policy"]["Arn"])
    deny = document({"Effect": "Deny", "Action": "ecr:*", "Resource": "*"})
    made = await iam.create_policy(PolicyName="last", PolicyDocument=deny)
    await iam.attach_role_policy(RoleName="demo-node", PolicyArn=made["Policy"]["Arn"])
    assert (await look(viewer))["node_roles"]["verdict"] == "failed"
    assert [one.operation for one in aws.calls()].count("ListAttachedRolePolicies") == 2


async def test_all_roles_are_listed_and_one_that_may_not_pull_fails_by_name(
    viewer: httpx.AsyncClient,
    eks: Sdk,
    iam: Sdk,
) -> None:
    for role in ("fargate", "auto"):
        await iam.create_role(RoleName=role, AssumeRolePolicyDocument=TRUST)
    await iam.attach_role_policy(RoleName="auto", PolicyArn=PULL_ONLY)
    await eks.create_nodegroup(clusterName="demo", nodegroupName="more", nodeRole=NODE_ROLE, subnets=["subnet-1"])
    await eks.create_fargate_profile(
        clusterName="demo", fargateProfileName="batch", podExecutionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/fargate"
    )
    compute = {"enabled": True, "nodePools": ["system"], "nodeRoleArn": f"arn:aws:iam::{ACCOUNT}:role/auto"}
    await eks.update_cluster_config(name="demo", computeConfig=compute)
    found = (await look(viewer))["node_roles"]
    assert found["verdict"] == "failed"
    assert "Role auto (Auto Mode) may pull." in found["detail"]
    assert "Role demo-node (node group demo-nodes, node group more) may pull." in found["detail"]
    assert "Role fargate (Fargate profile batch) may not:" in found["detail"]
    assert found["advice"] == "Attach AmazonEC2ContainerRegistryPullOnly to role fargate."


async def test_a_role_that_was_deleted_fails(viewer: httpx.AsyncClient, eks: Sdk) -> None:
    gone = f"arn:aws:iam::{ACCOUNT}:role/gone"
    await eks.create_nodegroup(clusterName="demo", nodegroupName="old", nodeRole=gone, subnets=["subnet-1"])
    found = (await look(viewer))["node_roles"]
    assert found["verdict"] == "failed"
    assert "Role gone (node group old) does not exist." in found["detail"]


async def test_many_node_groups_are_read_page_by_page(viewer: httpx.AsyncClient, eks: Sdk) -> None:
    for number in range(100):
        await eks.create_nodegroup(
            clusterName="demo", nodegroupName=f"group-{number}", nodeRole=NODE_ROLE, subnets=["subnet-1"]
        )
    last = f"arn:aws:iam::{ACCOUNT}:role/last"
    await eks.create_nodegroup(clusterName="demo", nodegroupName="z-last", nodeRole=last, subnets=["subnet-1"])
    assert "Role last (node group z-last) does not exist." in (await look(viewer))["node_roles"]["detail"]


async def test_nodes_that_eks_does_not_know_are_unknown(viewer: httpx.AsyncClient, eks: Sdk) -> None:
    await eks.delete_nodegroup(clusterName="demo", nodegroupName="demo-nodes")
    found = (await look(viewer))["node_roles"]
    assert found["verdict"] == "unknown"
    assert "AmazonEC2ContainerRegistryPullOnly" in found["advice"]


@pytest.mark.parametrize(
    "action",
    [
        "eks:ListNodegroups",
        "eks:DescribeNodegroup",
        "eks:ListFargateProfiles",
        "iam:GetRole",
        "iam:ListAttachedRolePolicies",
        "iam:ListRolePolicies",
    ],
)
async def test_what_may_not_be_read_is_unknown_and_the_missing_action_is_named(
    viewer: httpx.AsyncClient,
    iam: Sdk,
    action: str,
) -> None:
    await deny_us(iam, action)
    found = (await look(viewer))["node_roles"]
    assert found["verdict"] == "unknown"
    assert f"Wharfinger's role lacks {action} on demo" in found["detail"]
    assert found["advice"] == "Let wharfinger's role do what deploy/iam/wharfinger-policy.json lists."


@pytest.mark.parametrize("action", ["iam:GetPolicy", "iam:GetPolicyVersion"])
async def test_awss_own_policy_is_known_where_its_document_may_not_be_read(
    viewer: httpx.AsyncClient,
    iam: Sdk,
    action: str,
) -> None:
    await deny_us(iam, action)
    assert (await look(viewer))["node_roles"]["verdict"] == "ok"
    made = await iam.create_policy(PolicyName="nodes", PolicyDocument=document({"Action": "ecr:*", "Resource": "*"}))
    await iam.attach_role_policy(RoleName="demo-node", PolicyArn=made["Policy"]["Arn"])
    found = (await look(viewer))["node_roles"]
    assert found["verdict"] == "unknown"
    assert f"Wharfinger's role lacks {action} on arn:aws:iam::{ACCOUNT}:policy/nodes" in found["detail"]


async def deny_us(iam: Sdk, action: str) -> None:
    text = document({"Effect": "Deny", "Action": action, "Resource": "*"})
    await iam.put_role_policy(RoleName="wharfinger", PolicyName="deny", PolicyDocument=text)


@pytest.mark.parametrize("operation", ["DescribeNodegroup", "ListFargateProfiles", "GetRole", "GetPolicyVersion"])
async def test_what_aws_does_not_answer_just_now_is_no_error(
    viewer: httpx.AsyncClient, pushed: Sandbox, operation: str
) -> None:
    pushed.fault(operation, "error", times=10)
    found = await look(viewer)
    # The policy of AWS's own is known by its name.
    assert found["node_roles"]["verdict"] == ("ok" if operation == "GetPolicyVersion" else "unknown")
    assert found["repository_policy"]["verdict"] == "ok"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ({"Effect": "Deny", "Principal": "*", "Action": "ecr:BatchGetImage"}, "failed"),
        ({"Effect": "Deny", "Principal": "*", "Action": "ecr:PutImage"}, "ok"),
        (
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "ecr:*",
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
            "unknown",
        ),
    ],
)
async def test_in_its_own_account_a_repository_can_deny(
    viewer: httpx.AsyncClient, pushed: Sandbox, statement: dict[str, Any], expected: str
) -> None:
    async with sdk("ecr", pushed) as ecr:
        await ecr.set_repository_policy(repositoryName="myapp", policyText=document(statement))
    assert (await look(viewer))["repository_policy"]["verdict"] == expected


async def test_in_its_own_account_a_repository_can_let_the_role_pull(
    viewer: httpx.AsyncClient, iam: Sdk, pushed: Sandbox
) -> None:
    await iam.detach_role_policy(RoleName="demo-node", PolicyArn=PULL_ONLY)
    login = document({"Action": "ecr:GetAuthorizationToken", "Resource": "*"})
    await iam.put_role_policy(RoleName="demo-node", PolicyName="login", PolicyDocument=login)
    assert (await look(viewer))["node_roles"]["verdict"] == "failed"
    async with sdk("ecr", pushed) as ecr:
        text = document({"Principal": {"AWS": NODE_ROLE}, "Action": PULL})
        await ecr.set_repository_policy(repositoryName="myapp", policyText=text)
    assert verdicts(await look(viewer)) == GOOD


@pytest_asyncio.fixture
async def abroad(
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey, pushed: Sandbox
) -> AsyncIterator[httpx.AsyncClient]:
    """A viewer of a service with a third registry, `other`, of another account, where the repository `theirs` is."""
    other = RegistrySettings.model_validate(
        {
            "name": "other",
            "account_id": OTHER_ACCOUNT,
            "region": REGION,
            "role": f"arn:aws:iam::{OTHER_ACCOUNT}:role/wharfinger",
            "endpoint": pushed.endpoint(OTHER_ACCOUNT, REGION),
        }
    )
    async with sdk("ecr", pushed, account=OTHER_ACCOUNT) as ecr:
        await ecr.create_repository(repositoryName="theirs")
    changed = settings.model_copy(update={"registries": (*settings.registries, other)})
    async with serve(changed) as app:
        yield connect(app, await make_key("viewer"))


async def test_a_foreign_repository_has_to_let_the_nodes_account_in(abroad: httpx.AsyncClient) -> None:
    found = await look(abroad, "theirs:1", registry="other")
    assert found["repository_policy"]["verdict"] == "failed"
    advice = found["repository_policy"]["advice"]
    assert f"GET /v1/policy-templates/cross-account-pull?account={ACCOUNT}" in advice
    assert "PUT /v1/policies/repositories/theirs?registry=other" in advice
    assert found["region"]["verdict"] == found["node_roles"]["verdict"] == "ok"


@pytest.mark.parametrize(
    ("principal", "action", "expected"),
    [
        ({"AWS": ACCOUNT}, PULL, "ok"),
        ("*", "ecr:*", "ok"),
        ({"AWS": NODE_ROLE}, PULL, "ok"),
        ({"AWS": ACCOUNT}, PULL[:2], "failed"),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:role/wharfinger"}, PULL, "failed"),
    ],
)
async def test_a_foreign_repositorys_policy_is_read(
    abroad: httpx.AsyncClient, pushed: Sandbox, principal: object, action: object, expected: str
) -> None:
    text = document({"Principal": principal, "Action": action})
    async with sdk("ecr", pushed, account=OTHER_ACCOUNT) as ecr:
        await ecr.set_repository_policy(repositoryName="theirs", policyText=text)
    assert (await look(abroad, "theirs:1", registry="other"))["repository_policy"]["verdict"] == expected


async def test_the_template_that_is_advised_is_what_it_takes(abroad: httpx.AsyncClient, pushed: Sandbox) -> None:
    template = await abroad.get("/v1/policy-templates/cross-account-pull", params={"account": ACCOUNT})
    async with sdk("ecr", pushed, account=OTHER_ACCOUNT) as ecr:
        await ecr.set_repository_policy(repositoryName="theirs", policyText=template.text)
    assert (await look(abroad, "theirs:1", registry="other"))["repository_policy"]["verdict"] == "ok"


async def test_a_policy_that_may_not_be_read_is_unknown(viewer: httpx.AsyncClient, iam: Sdk) -> None:
    await deny_us(iam, "ecr:GetRepositoryPolicy")
    found = (await look(viewer))["repository_policy"]
    assert found["verdict"] == "unknown"
    assert "ecr:GetRepositoryPolicy" in found["detail"]


async def test_another_region_is_unknown_until_the_image_is_here_too(
    viewer: httpx.AsyncClient, admin: httpx.AsyncClient, pushed: Sandbox
) -> None:
    for name in ("myapp", "far"):
        await admin.post("/v1/repositories", params={"registry": "local-us"}, json={"name": name})
    await push_image(pushed, "myapp", "1", image("1"), region=SECOND_REGION)
    await push_image(pushed, "far", "1", image("1"), region=SECOND_REGION)
    far = (await look(viewer, "far:1", registry="local-us"))["region"]
    assert far["verdict"] == "unknown"
    assert far["advice"].startswith(f"Replicate far to {REGION}")
    replicated = (await look(viewer, "myapp:1", registry="local-us"))["region"]
    assert replicated["verdict"] == "ok"
    assert replicated["detail"].endswith("deploy it with registry=local.")


@pytest.mark.usefixtures("pushed")
async def test_a_cluster_that_eks_does_not_have_fails_and_says_so_once(
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey
) -> None:
    clusters = (ClusterSettings(name="demo", eks_name="gone"),)
    async with serve(settings.model_copy(update={"clusters": clusters})) as app:
        found = await look(connect(app, await make_key("viewer")))
    assert found["node_roles"]["verdict"] == "failed"
    assert found["node_roles"]["detail"] == "There is no cluster 'gone'."
    assert found["repository_policy"]["verdict"] == found["region"]["verdict"] == "ok"


@pytest.mark.usefixtures("pushed")
async def test_of_a_cluster_that_is_not_eks_the_nodes_are_unknown(
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey, aws: Sandbox
) -> None:
    kubeconfig = settings.data_dir / "kubeconfig"
    kubeconfig.write_text(aws.kubeconfig())
    clusters = (ClusterSettings(name="demo", kubeconfig=kubeconfig),)
    async with serve(settings.model_copy(update={"clusters": clusters})) as app:
        found = await look(connect(app, await make_key("viewer")))
    unknown = dict.fromkeys(("node_roles", "repository_policy", "region"), "unknown")
    assert verdicts(found) == GOOD | unknown
    assert "imagePullSecret" in found["node_roles"]["advice"]


async def test_a_node_that_does_not_tell_its_platform_leaves_it_open(
    viewer: httpx.AsyncClient, deployer: httpx.AsyncClient, pushed: Sandbox
) -> None:
    async with administrator(pushed) as kube:
        node = {"metadata": {"name": "joining"}, "spec": {"unschedulable": True}}
        (await kube.post("/api/v1/nodes", json=node)).raise_for_status()
    assert (await look(viewer, "myapp:1"))["platforms"]["verdict"] == "ok"
    assert (await look(viewer, "myapp:arm"))["platforms"]["verdict"] == "unknown"
    asked = {"cluster": "demo", "name": "myapp", "image": "myapp:arm", "port": 8080}
    shown = await deployer.post("/v1/deployments", params={"dry_run": "true"}, json=asked)
    assert shown.status_code == 200, shown.text
    assert (await viewer.get("/v1/clusters/demo")).json()["architectures"] == ["linux/amd64"]


@pytest.mark.usefixtures("pushed")
async def test_a_namespace_that_is_not_there_fails_and_says_so(viewer: httpx.AsyncClient) -> None:
    found = await look(viewer, namespace="none")
    assert found["verdict"] == found["namespace"]["verdict"] == "failed"
    assert "'none'" in found["namespace"]["detail"]
    assert found["namespace"]["advice"] == "Make it: kubectl create namespace none"


async def test_a_namespace_that_is_being_deleted_takes_no_deployments(
    viewer: httpx.AsyncClient, deployer: httpx.AsyncClient, pushed: Sandbox
) -> None:
    async with administrator(pushed) as kube:
        ending = {"metadata": {"name": "ending", "finalizers": ["example.com/slow"]}}
        (await kube.post("/api/v1/namespaces", json=ending)).raise_for_status()
        (await kube.delete("/api/v1/namespaces/ending")).raise_for_status()
    asked = {"cluster": "demo", "namespace": "ending", "name": "myapp", "image": "myapp:1", "port": 8080}
    refused = await deployer.post("/v1/deployments", json=asked)
    assert (refused.status_code, refused.json()["code"]) == (409, "namespace_terminating"), refused.text
    assert "namespace ending because it is being terminated" in refused.json()["detail"]
    found = await look(viewer, namespace="ending")
    assert found["namespace"]["verdict"] == "failed"
    assert "being terminated" in found["namespace"]["detail"]
