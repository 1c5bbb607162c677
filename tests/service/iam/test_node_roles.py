"""Whether the documents of a role let its nodes pull, and whom a repository policy lets in: decided without AWS."""

from typing import Any

import pytest

from service.clients.ecr.actions import LOGIN, PULL
from service.iam.grants import denials, direct_grants, grants
from service.iam.matching import Certainty
from service.iam.node_roles import (
    PULL_ACTIONS,
    RolePolicies,
    denied_actions,
    known_document,
    pull_rights,
)

ARN = "arn:aws:ecr:eu-central-1:111111111111:repository/team/app"
NODES = "222222222222"
ROLE = f"arn:aws:iam::{NODES}:role/demo-node"
ALL = list(PULL_ACTIONS)


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    filled = [{"Effect": "Allow", "Action": ALL, "Resource": "*"} | one for one in statements]
    return {"Version": "2012-10-17", "Statement": filled}


def without(statement: dict[str, Any], element: str) -> dict[str, Any]:
    return {key: value for key, value in statement.items() if key != element}


def overall(*documents: dict[str, Any], **more: Any) -> Certainty:  # noqa: ANN401 - fields of RolePolicies
    return min(pull_rights(RolePolicies(documents, **more), ARN).values())


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ({}, Certainty.YES),
        ({"Action": "*"}, Certainty.YES),
        ({"Action": "ECR:*"}, Certainty.YES),
        ({"Action": ["ecr:Get*", "ecr:Batch?heckLayerAvailability", "ecr:BatchGetImage"]}, Certainty.YES),
        ({"Action": ALL[1:]}, Certainty.NO),
        ({"Action": "s3:*"}, Certainty.NO),
        ({"Action": []}, Certainty.NO),
        ({"Resource": ARN}, Certainty.NO),
        ({"Resource": [ARN, "*"]}, Certainty.YES),
        ({"Condition": {"StringEquals": {"aws:RequestedRegion": "eu-central-1"}}}, Certainty.MAYBE),
        ({"Condition": {}}, Certainty.YES),
    ],
)
def test_one_statement_allows_all_four_actions_or_does_not(statement: dict[str, Any], expected: Certainty) -> None:
    assert overall(document(statement)) is expected


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (ARN, Certainty.YES),
        ("arn:aws:ecr:*:*:repository/*", Certainty.YES),
        ("arn:aws:ecr:eu-central-?:111111111111:repository/team/*", Certainty.YES),
        ("arn:aws:ecr", Certainty.YES),
        ("arn:aws:ecr:*:repository/*", Certainty.NO),
        ("arn:aws:ecr:us-east-1:111111111111:repository/*", Certainty.NO),
        ("arn:aws:ecr:eu-central-1:111111111111:repository/team", Certainty.NO),
        ("arn:aws:ecr:eu-central-1:111111111111:repository/Team/*", Certainty.NO),
        ("arn:aws:ecr:*:*:repository/${aws:PrincipalTag/team}/*", Certainty.MAYBE),
        ("arn:aws:ecr:us-east-1:*:repository/${aws:PrincipalTag/team}/*", Certainty.NO),
    ],
)
def test_the_repository_has_to_be_among_the_resources(resource: str, expected: Certainty) -> None:
    token = {"Action": LOGIN}
    assert overall(document(token, {"Action": list(PULL), "Resource": resource})) is expected


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ({"NotAction": "iam:*"}, Certainty.YES),
        ({"NotAction": ["iam:*", "ecr:BatchGetImage"]}, Certainty.NO),
        ({"Action": "*", "NotResource": "arn:aws:s3:::*"}, Certainty.YES),
        ({"Action": "*", "NotResource": "arn:aws:ecr:*:*:repository/team/*"}, Certainty.NO),
        ({"Action": "*", "NotResource": "arn:aws:ecr:*:*:repository/${aws:username}"}, Certainty.MAYBE),
    ],
)
def test_what_is_left_out_is_not_covered(statement: dict[str, Any], expected: Certainty) -> None:
    whole = {"Effect": "Allow", "Resource": "*"} | statement
    if "NotResource" in whole:
        whole = without(whole, "Resource")
    assert overall({"Version": "2012-10-17", "Statement": whole}) is expected


@pytest.mark.parametrize(
    ("deny", "expected"),
    [
        ({"Action": "ecr:BatchGetImage"}, Certainty.NO),
        ({"Action": "ecr:PutImage"}, Certainty.YES),
        ({"Action": "ecr:*", "Resource": "arn:aws:ecr:*:*:repository/secret"}, Certainty.YES),
        ({"Action": "ecr:*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}, Certainty.MAYBE),
    ],
)
def test_a_deny_in_any_document_wins(deny: dict[str, Any], expected: Certainty) -> None:
    assert overall(document({}), document({"Effect": "Deny"} | deny)) is expected


def test_several_documents_allow_together_and_what_is_missing_is_named() -> None:
    found = pull_rights(RolePolicies([document({"Action": ALL[:1]}), document({"Action": ALL[1:3]})]), ARN)
    assert {action for action, right in found.items() if right is Certainty.NO} == {"ecr:BatchGetImage"}


def test_what_is_denied_for_certain_is_told_apart_from_what_nobody_allows() -> None:
    deny = {"Effect": "Deny", "Action": "ecr:BatchGetImage"}
    doubtful = {"Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    policies = RolePolicies([document({"Action": LOGIN}, deny, doubtful)])
    assert denied_actions(policies, ARN) == ["ecr:BatchGetImage"]


def test_what_could_not_be_read_leaves_it_open_either_way() -> None:
    assert overall(document({}), unread=["custom"]) is Certainty.MAYBE
    assert overall(unread=["custom"]) is Certainty.MAYBE
    assert overall(document({"Effect": "Deny"}), unread=["custom"]) is Certainty.NO


def test_a_boundary_can_only_take_away() -> None:
    assert overall(document({}), is_bounded=True) is Certainty.MAYBE
    assert overall(is_bounded=True) is Certainty.NO


@pytest.mark.parametrize(
    ("arn", "expected"),
    [
        ("arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPullOnly", Certainty.YES),
        ("arn:aws-cn:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly", Certainty.YES),
        ("arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy", Certainty.NO),
        ("arn:aws:iam::aws:policy/service-role/AmazonEC2ContainerRegistryPowerUser", Certainty.YES),
    ],
)
def test_the_usual_policies_of_awss_own_are_known_by_name(arn: str, expected: Certainty) -> None:
    known = known_document(arn)
    assert known is not None
    assert overall(known) is expected


@pytest.mark.parametrize(
    "arn",
    ["arn:aws:iam::111111111111:policy/AmazonEC2ContainerRegistryPullOnly", "arn:aws:iam::aws:policy/AWSDenyAll"],
)
def test_a_policy_that_only_has_the_name_is_not_known(arn: str) -> None:
    assert known_document(arn) is None


def granted(principal: object, role_arn: str | None = ROLE, **changes: object) -> Certainty:
    statement = {"Effect": "Allow", "Principal": principal, "Action": list(PULL)} | changes
    return min(grants({"Statement": [statement]}, account=NODES, role_arn=role_arn).values())


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        ("*", Certainty.YES),
        ({"AWS": "*"}, Certainty.YES),
        ({"AWS": NODES}, Certainty.YES),
        ({"AWS": ["333333333333", f"arn:aws:iam::{NODES}:root"]}, Certainty.YES),
        ({"AWS": ROLE}, Certainty.YES),
        ({"AWS": f"arn:aws:iam::{NODES}:role/other"}, Certainty.NO),
        ({"AWS": "333333333333"}, Certainty.NO),
        ({"Service": "lambda.amazonaws.com"}, Certainty.NO),
    ],
)
def test_a_repository_policy_lets_in_whom_it_names(principal: object, expected: Certainty) -> None:
    assert granted(principal) is expected


def test_a_role_that_is_not_known_may_be_the_one_named() -> None:
    assert granted({"AWS": ROLE}, role_arn=None) is Certainty.MAYBE
    assert granted({"AWS": "arn:aws:iam::333333333333:role/x"}, role_arn=None) is Certainty.NO


def test_a_grant_of_less_than_a_pull_or_under_a_condition_is_no_certain_grant() -> None:
    assert granted("*", Action="ecr:BatchGetImage") is Certainty.NO
    assert granted("*", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}}) is Certainty.MAYBE


def test_a_repository_policy_can_take_a_pull_from_everyone() -> None:
    deny = {"Effect": "Deny", "Principal": "*", "Action": "ecr:BatchGetImage"}
    allow = {"Effect": "Allow", "Principal": "*", "Action": "ecr:*"}
    both = {"Statement": [allow, deny]}
    assert grants(both, account=NODES, role_arn=ROLE)["ecr:BatchGetImage"] is Certainty.NO
    taken = denials(both, account=NODES, role_arn=ROLE)
    assert {action for action, certainty in taken.items() if certainty is Certainty.YES} == {"ecr:BatchGetImage"}


def test_whom_a_deny_spares_is_not_certain() -> None:
    deny = {"Effect": "Deny", "NotPrincipal": {"AWS": ROLE}, "Action": "ecr:*"}
    assert min(denials({"Statement": deny}, account=NODES, role_arn=ROLE).values()) is Certainty.MAYBE


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ({"Principal": {"AWS": ROLE}}, Certainty.YES),
        ({"Principal": "*"}, Certainty.YES),
        ({"Principal": "*", "Condition": {"Bool": {"aws:SecureTransport": "true"}}}, Certainty.MAYBE),
        ({"Principal": {"AWS": NODES}}, Certainty.NO),
        ({"Principal": {"AWS": f"arn:aws:iam::{NODES}:role/other"}}, Certainty.NO),
        ({"Principal": {"AWS": ROLE}, "Effect": "Deny"}, Certainty.NO),
    ],
)
def test_a_grant_to_the_role_itself_counts_as_its_own_and_one_to_its_account_does_not(
    statement: dict[str, Any], expected: Certainty
) -> None:
    policy = {"Statement": {"Effect": "Allow", "Action": list(PULL)} | statement}
    granted = direct_grants(policy, role_arn=ROLE, repository_arn=ARN)
    assert overall(document({"Action": LOGIN}), granted) is expected
