"""The gate `node_roles`: what the policies of the nodes' roles say. Against the stand-in's EKS and IAM."""

import json
from typing import Any

import httpx
import pytest

from sandbox.server import Sandbox
from service.base.settings import ClusterSettings, Settings
from tests.api.gates.preflights import GOOD, NODE_ROLE, PULL, PULL_ONLY, Sdk, document, look, verdicts
from tests.conftest import ACCOUNT, REGION, Connect, MakeKey, Serve
from tests.marks import only_sqlite
from tests.sandbox.clients import deny_us, sdk

pytestmark = [pytest.mark.asyncio, only_sqlite]

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
)


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


@pytest.mark.parametrize("operation", ["DescribeNodegroup", "ListFargateProfiles", "GetRole", "GetPolicyVersion"])
async def test_what_aws_does_not_answer_just_now_is_no_error(
    viewer: httpx.AsyncClient, pushed: Sandbox, operation: str
) -> None:
    pushed.fault(operation, "error", times=10)
    found = await look(viewer)
    # The policy of AWS's own is known by its name.
    assert found["node_roles"]["verdict"] == ("ok" if operation == "GetPolicyVersion" else "unknown")
    assert found["repository_policy"]["verdict"] == "ok"


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
