"""EKS's API by the AWS SDK, which reads the answers by the service model."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError
from botocore.model import Shape, StructureShape

from sandbox.aws.identities import SERVICE_USER
from sandbox.server import Sandbox
from tests.conftest import ACCOUNT, REGION, SECOND_REGION
from tests.sandbox.clients import sdk, session_sdk

POLICIES = "arn:aws:eks::aws:cluster-access-policy/"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/ci"


def _unknown(shape: Shape, value: Any, where: str = "") -> list[str]:  # noqa: ANN401 - JSON
    """The members of an answer that the service model does not have."""
    if shape.type_name == "list":
        return [found for one in value for found in _unknown(shape.member, one, f"{where}[]")]
    if not isinstance(shape, StructureShape) or not isinstance(value, Mapping):
        return []
    return [
        found
        for name, inner in value.items()
        for found in (
            _unknown(shape.members[name], inner, f"{where}.{name}") if name in shape.members else [f"{where}.{name}"]
        )
    ]


def _document(**statement: object) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


@pytest.mark.asyncio
async def test_the_cluster_and_its_nodes_are_described(aws: Sandbox) -> None:
    async with sdk("eks", aws) as eks:
        assert (await eks.list_clusters())["clusters"] == ["demo"]
        cluster = (await eks.describe_cluster(name="demo"))["cluster"]
        assert (await eks.list_nodegroups(clusterName="demo"))["nodegroups"] == ["demo-nodes"]
        group = (await eks.describe_nodegroup(clusterName="demo", nodegroupName="demo-nodes"))["nodegroup"]
        assert (await eks.list_fargate_profiles(clusterName="demo"))["fargateProfileNames"] == []
    assert cluster["status"] == group["status"] == "ACTIVE"
    assert cluster["endpoint"] == aws.kube_endpoint()
    assert cluster["accessConfig"]["authenticationMode"] == "API"
    assert cluster["arn"] == f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/demo"
    assert base64.b64decode(cluster["certificateAuthority"]["data"]).startswith(b"-----BEGIN CERTIFICATE-----")
    assert group["nodeRole"] == f"arn:aws:iam::{ACCOUNT}:role/demo-node"


@pytest.mark.asyncio
async def test_the_nodes_role_may_pull(aws: Sandbox) -> None:
    async with sdk("iam", aws) as iam:
        attached = (await iam.list_attached_role_policies(RoleName="demo-node"))["AttachedPolicies"]
        [arn] = [one["PolicyArn"] for one in attached]
        document = (await iam.get_policy_version(PolicyArn=arn, VersionId="v1"))["PolicyVersion"]["Document"]
    assert arn == "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPullOnly"
    assert "ecr:BatchGetImage" in document["Statement"][0]["Action"]


@pytest.mark.asyncio
async def test_answers_have_only_members_of_the_service_model(aws: Sandbox) -> None:
    model = await AioSession().get_service_model("eks")
    named = {"clusterName": "demo", "principalArn": ROLE}
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("describe_cluster", "DescribeCluster", {"name": "demo"}),
        ("describe_nodegroup", "DescribeNodegroup", {"clusterName": "demo", "nodegroupName": "demo-nodes"}),
        ("list_nodegroups", "ListNodegroups", {"clusterName": "demo"}),
        (
            "create_nodegroup",
            "CreateNodegroup",
            {"clusterName": "demo", "nodegroupName": "more", "nodeRole": ROLE, "subnets": ["subnet-1"]},
        ),
        (
            "create_fargate_profile",
            "CreateFargateProfile",
            {"clusterName": "demo", "fargateProfileName": "batch", "podExecutionRoleArn": ROLE},
        ),
        (
            "describe_fargate_profile",
            "DescribeFargateProfile",
            {"clusterName": "demo", "fargateProfileName": "batch"},
        ),
        ("list_fargate_profiles", "ListFargateProfiles", {"clusterName": "demo"}),
        ("update_cluster_config", "UpdateClusterConfig", {"name": "demo", "computeConfig": {"enabled": True}}),
        ("create_access_entry", "CreateAccessEntry", named),
        ("describe_access_entry", "DescribeAccessEntry", named),
        (
            "associate_access_policy",
            "AssociateAccessPolicy",
            named | {"policyArn": f"{POLICIES}AmazonEKSViewPolicy", "accessScope": {"type": "cluster"}},
        ),
        ("list_associated_access_policies", "ListAssociatedAccessPolicies", named),
        ("list_access_entries", "ListAccessEntries", {"clusterName": "demo"}),
    ]
    raw: list[dict[str, Any]] = []
    async with sdk("eks", aws) as eks:
        # The SDK drops what it does not know, so the bytes are looked at.
        eks.meta.events.register(
            "before-parse.eks", lambda response_dict, **_: raw.append(json.loads(response_dict["body"]))
        )
        for method, _, parameters in asked:
            await getattr(eks, method)(**parameters)
    for (_, operation, _), response in zip(asked, raw, strict=True):
        output = model.operation_model(operation).output_shape
        assert _unknown(output, response) == [], operation


@pytest.mark.asyncio
async def test_node_groups_come_and_go(aws: Sandbox) -> None:
    named = {"clusterName": "demo", "nodegroupName": "more"}
    async with sdk("eks", aws) as eks:
        await eks.create_nodegroup(**named, nodeRole=ROLE, subnets=["subnet-1"])
        with pytest.raises(ClientError, match="ResourceInUseException"):
            await eks.create_nodegroup(**named, nodeRole=ROLE, subnets=["subnet-1"])
        first = await eks.list_nodegroups(clusterName="demo", maxResults=1)
        second = await eks.list_nodegroups(clusterName="demo", maxResults=1, nextToken=first["nextToken"])
        described = (await eks.describe_nodegroup(**named))["nodegroup"]
        await eks.delete_nodegroup(**named)
        left = (await eks.list_nodegroups(clusterName="demo"))["nodegroups"]
    assert (first["nodegroups"], second["nodegroups"], left) == (["demo-nodes"], ["more"], ["demo-nodes"])
    assert described["nodeRole"] == ROLE


@pytest.mark.asyncio
async def test_fargate_profiles_come_and_go(aws: Sandbox) -> None:
    named = {"clusterName": "demo", "fargateProfileName": "batch"}
    async with sdk("eks", aws) as eks:
        await eks.create_fargate_profile(**named, podExecutionRoleArn=ROLE)
        described = (await eks.describe_fargate_profile(**named))["fargateProfile"]
        await eks.delete_fargate_profile(**named)
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            await eks.describe_fargate_profile(**named)
    assert described["podExecutionRoleArn"] == ROLE


@pytest.mark.asyncio
async def test_auto_mode_is_told_of_once_it_is_on(aws: Sandbox) -> None:
    compute = {"enabled": True, "nodePools": ["system"], "nodeRoleArn": ROLE}
    async with sdk("eks", aws) as eks:
        assert "computeConfig" not in (await eks.describe_cluster(name="demo"))["cluster"]
        await eks.update_cluster_config(name="demo", computeConfig=compute)
        assert (await eks.describe_cluster(name="demo"))["cluster"]["computeConfig"] == compute


@pytest.mark.asyncio
async def test_iam_answers_only_who_may_ask(aws: Sandbox) -> None:
    async with sdk("iam", aws, user=SERVICE_USER) as iam:
        with pytest.raises(ClientError) as caught:
            await iam.get_role(RoleName="demo-node")
    assert caught.value.response["Error"]["Code"] == "AccessDenied"
    assert (
        f"iam:GetRole on resource: arn:aws:iam::{ACCOUNT}:role/demo-node" in caught.value.response["Error"]["Message"]
    )


@pytest.mark.asyncio
async def test_access_entries_come_and_go(aws: Sandbox) -> None:
    named = {"clusterName": "demo", "principalArn": ROLE}
    edit, view = f"{POLICIES}AmazonEKSEditPolicy", f"{POLICIES}AmazonEKSViewPolicy"
    async with sdk("eks", aws) as eks:
        made = (await eks.create_access_entry(**named, kubernetesGroups=["ci"]))["accessEntry"]
        with pytest.raises(ClientError, match="ResourceInUseException"):
            await eks.create_access_entry(**named)
        scope = {"type": "namespace", "namespaces": ["team"]}
        await eks.associate_access_policy(**named, policyArn=edit, accessScope=scope)
        await eks.associate_access_policy(**named, policyArn=view, accessScope={"type": "cluster"})
        policies = (await eks.list_associated_access_policies(**named))["associatedAccessPolicies"]
        await eks.disassociate_access_policy(**named, policyArn=view)
        left = (await eks.list_associated_access_policies(**named))["associatedAccessPolicies"]
        editors = (await eks.list_access_entries(clusterName="demo", associatedPolicyArn=edit))["accessEntries"]
        await eks.delete_access_entry(**named)
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            await eks.describe_access_entry(**named)
    assert made["username"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/{{{{SessionName}}}}"
    assert made["kubernetesGroups"] == ["ci"]
    assert [(one["policyArn"], one["accessScope"]["type"]) for one in policies] == [
        (edit, "namespace"),
        (view, "cluster"),
    ]
    assert [one["policyArn"] for one in left] == [edit]
    assert ROLE in editors


@pytest.mark.asyncio
async def test_lists_page(aws: Sandbox) -> None:
    async with sdk("eks", aws) as eks:
        first = await eks.list_access_entries(clusterName="demo", maxResults=1)
        second = await eks.list_access_entries(clusterName="demo", maxResults=1, nextToken=first["nextToken"])
    assert "nextToken" not in second
    assert {*first["accessEntries"], *second["accessEntries"]} == {
        f"arn:aws:iam::{ACCOUNT}:role/wharfinger",
        f"arn:aws:iam::{ACCOUNT}:user/operator",
    }


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("describe_cluster", {"name": "nobody"}),
        ("list_nodegroups", {"clusterName": "nobody"}),
        ("describe_nodegroup", {"clusterName": "demo", "nodegroupName": "nobody"}),
        ("describe_fargate_profile", {"clusterName": "demo", "fargateProfileName": "nobody"}),
    ],
)
async def test_what_is_not_there_is_a_404(aws: Sandbox, method: str, parameters: dict[str, str]) -> None:
    async with sdk("eks", aws) as eks:
        with pytest.raises(ClientError) as caught:
            await getattr(eks, method)(**parameters)
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


@pytest.mark.asyncio
async def test_other_regions_have_no_cluster(aws: Sandbox) -> None:
    keys = aws.credentials()
    session = AioSession()
    async with session.create_client(
        "eks",
        SECOND_REGION,
        endpoint_url=aws.endpoint(ACCOUNT, SECOND_REGION),
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
    ) as eks:
        assert (await eks.list_clusters())["clusters"] == []


@pytest.mark.asyncio
async def test_permissions_are_those_of_the_caller(aws: Sandbox) -> None:
    async with sdk("eks", aws, user=SERVICE_USER) as eks:
        with pytest.raises(ClientError) as caught:
            await eks.describe_cluster(name="demo")
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/demo" in caught.value.response["Error"]["Message"]


@pytest.mark.asyncio
async def test_a_role_reads_what_its_policy_names(aws: Sandbox) -> None:
    arn = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/demo"
    trust = _document(Action="sts:AssumeRole", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
    async with sdk("iam", aws) as iam:
        await iam.create_role(RoleName="reader", AssumeRolePolicyDocument=trust)
        policy = _document(Action="eks:DescribeCluster", Resource=arn)
        await iam.put_role_policy(RoleName="reader", PolicyName="p", PolicyDocument=policy)
    async with sdk("sts", aws) as sts:
        role = f"arn:aws:iam::{ACCOUNT}:role/reader"
        session = await sts.assume_role(RoleArn=role, RoleSessionName="s1")
    async with session_sdk("eks", aws, session["Credentials"]) as eks:
        assert (await eks.describe_cluster(name="demo"))["cluster"]["name"] == "demo"
        with pytest.raises(ClientError, match="AccessDenied"):
            await eks.describe_nodegroup(clusterName="demo", nodegroupName="demo-nodes")


@pytest.mark.asyncio
async def test_faults_and_calls_know_the_operation(aws: Sandbox) -> None:
    aws.fault("DescribeCluster", "throttle")
    async with sdk("eks", aws) as eks:
        with pytest.raises(ClientError, match="ThrottlingException"):
            await eks.describe_cluster(name="demo")
        await eks.describe_cluster(name="demo")
    calls = [(one.service, one.operation, one.status) for one in aws.calls()]
    assert calls == [("eks", "DescribeCluster", 429), ("eks", "DescribeCluster", 200)]


@pytest.mark.asyncio
async def test_a_wrong_key_is_refused_in_the_words_of_rest(aws: Sandbox) -> None:
    keys = aws.credentials()
    async with sdk("eks", aws, keys=type(keys)(keys.access_key, "wrong")) as eks:
        with pytest.raises(ClientError) as caught:
            await eks.list_clusters()
    assert caught.value.response["Error"]["Code"] == "InvalidSignatureException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
