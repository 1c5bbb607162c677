"""The IAM documents of `deploy/iam/`: well formed, made of actions that exist, and no wider than they claim."""

import json
import re
import string
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader

IAM = Path(__file__).parents[1] / "deploy" / "iam"
DOCUMENTS = sorted(IAM.glob("*.json"))
PLACEHOLDERS = {
    "Partition": "aws",
    "AccountId": "111111111111",
    "Region": "eu-central-1",
    "WharfingerPrincipalArn": "arn:aws:iam::111111111111:role/pod",
    "ExternalId": "shared",
    "NodeRole": "eks-node-*",
    "NodePolicy": "eks-nodes",
    "Cluster": "tools",
}
PULL = {"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:ListImages"}
PUSH = {
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
}
TAKE_NO_RESOURCE = {
    # Service Authorization Reference for ECR: no resource type in the Actions table.
    "ecr:GetAuthorizationToken",
    "ecr:DescribePullThroughCacheRules",
    "ecr:DescribeRegistry",
    "ecr:GetAccountSetting",
    "ecr:GetRegistryScanningConfiguration",
    # Likewise for CloudTrail.
    "cloudtrail:LookupEvents",
}


def statements(path: Path) -> list[dict[str, Any]]:
    document = json.loads(string.Template(path.read_text()).substitute(PLACEHOLDERS))
    assert document["Version"] == "2012-10-17"
    return list(document["Statement"])


def actions(statement: dict[str, Any]) -> set[str]:
    action = statement["Action"]
    return {action} if isinstance(action, str) else set(action)


def resources(statement: dict[str, Any]) -> list[str]:
    resource = statement["Resource"]
    return [resource] if isinstance(resource, str) else list(resource)


def operations(service: str) -> set[str]:
    model = Loader().load_service_model(service, "service-2")
    return {f"{service}:{name}" for name in model["operations"]}


def test_the_documents_are_the_six_that_the_readme_lists() -> None:
    listed = set(re.findall(r"^\| `([a-z-]+\.json)` \|", (IAM / "README.md").read_text(), re.MULTILINE))
    assert {path.name for path in DOCUMENTS} == listed
    assert len(listed) == 6


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_every_statement_allows_actions_that_exist(path: Path) -> None:
    # TagSession is a permission without an operation of its own.
    known = (
        operations("ecr")
        | operations("sts")
        | operations("eks")
        | operations("iam")
        | operations("cloudtrail")
        | {"sts:TagSession"}
    )
    for statement in statements(path):
        assert statement["Effect"] == "Allow"
        assert actions(statement) <= known


@pytest.mark.parametrize("path", sorted(IAM.glob("*-policy.json")), ids=lambda path: path.stem)
def test_star_is_granted_only_where_aws_takes_nothing_narrower(path: Path) -> None:
    for statement in statements(path):
        if statement["Resource"] == "*":
            assert actions(statement) <= TAKE_NO_RESOURCE
        else:
            assert not actions(statement) & TAKE_NO_RESOURCE
            for resource in resources(statement):
                # The policies of AWS's own are of the account `aws`.
                assert re.fullmatch(r"arn:aws:((ecr|eks|iam):[a-z0-9-]*:111111111111:\S+|iam::aws:policy/\*)", resource)


def test_the_broker_may_log_in_pull_and_push_and_nothing_else() -> None:
    granted = set().union(*map(actions, statements(IAM / "broker-policy.json")))
    assert granted == {"ecr:GetAuthorizationToken"} | PULL | PUSH


def test_iam_is_read_of_nodes_and_of_awss_own_policies_only() -> None:
    reading = {
        (action, resource)
        for statement in statements(IAM / "wharfinger-policy.json")
        for action in actions(statement)
        for resource in resources(statement)
        if action.startswith("iam:")
    }
    roles, own, awss = (
        f"arn:aws:iam::{rest}"
        for rest in ("111111111111:role/eks-node-*", "111111111111:policy/eks-nodes", "aws:policy/*")
    )
    assert reading == {
        ("iam:GetRole", roles),
        ("iam:GetRolePolicy", roles),
        ("iam:ListAttachedRolePolicies", roles),
        ("iam:ListRolePolicies", roles),
        ("iam:GetPolicy", own),
        ("iam:GetPolicy", awss),
        ("iam:GetPolicyVersion", own),
        ("iam:GetPolicyVersion", awss),
    }


def test_pods_become_the_role_in_one_cluster_of_the_account_only() -> None:
    [statement] = statements(IAM / "pod-identity-trust.json")
    assert statement["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert actions(statement) == {"sts:AssumeRole", "sts:TagSession"}
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "111111111111"},
        "ArnEquals": {"aws:SourceArn": "arn:aws:eks:eu-central-1:111111111111:cluster/tools"},
    }


def test_the_service_may_assume_the_broker_role_only() -> None:
    assuming = [s for s in statements(IAM / "wharfinger-policy.json") if "sts:AssumeRole" in actions(s)]
    assert [s["Resource"] for s in assuming] == ["arn:aws:iam::111111111111:role/wharfinger-broker"]


@pytest.mark.parametrize(
    ("name", "principal", "condition"),
    [
        ("wharfinger-trust", "arn:aws:iam::111111111111:role/pod", None),
        (
            "wharfinger-trust-external-id",
            "arn:aws:iam::111111111111:role/pod",
            {"StringEquals": {"sts:ExternalId": "shared"}},
        ),
        ("broker-trust", "arn:aws:iam::111111111111:role/wharfinger", None),
    ],
)
def test_each_trust_policy_names_one_principal(name: str, principal: str, condition: object) -> None:
    (statement,) = statements(IAM / f"{name}.json")
    assert statement["Principal"] == {"AWS": principal}
    assert actions(statement) == {"sts:AssumeRole"}
    assert statement.get("Condition") == condition
