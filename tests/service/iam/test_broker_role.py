"""Whether a repository policy lets the broker role in, by whatever way AWS has of naming somebody."""

from typing import Any

import pytest

from service.iam.broker_role import places_of_broker

OWN, OTHER = "111111111111", "222222222222"
BROKER = f"arn:aws:iam::{OWN}:role/ci/Broker"
SESSION = f"arn:aws:sts::{OWN}:assumed-role/Broker/somebody"
OTHER_ROLE = f"arn:aws:iam::{OWN}:role/ci/deploy"
WHO = "aws:PrincipalArn"


def places(**statement: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Where a policy of one statement lets the role in, without the place of the statement."""
    one = {"Effect": "Allow", "Action": "ecr:BatchGetImage"} | statement
    found = places_of_broker({"Version": "2012-10-17", "Statement": [one]}, BROKER)
    return [place.removeprefix("body.Statement[0].") for place in found]


@pytest.mark.parametrize(
    ("principal", "place"),
    [
        ({"AWS": BROKER}, "Principal.AWS"),
        ({"AWS": [OWN, BROKER]}, "Principal.AWS[1]"),
        ({"AWS": SESSION}, "Principal.AWS"),
        ({"AWS": BROKER.lower()}, "Principal.AWS"),
        ({"AWS": SESSION.upper()}, "Principal.AWS"),
        ({"AWS": ["*"]}, "Principal.AWS[0]"),
        ("*", "Principal"),
    ],
)
def test_the_role_is_let_in_by_its_name_in_any_case_or_with_everyone(principal: object, place: str) -> None:
    assert places(Principal=principal) == [place]
    assert places(Principal=principal, Effect="Deny") == []


@pytest.mark.parametrize(
    "principal",
    [
        {"AWS": f"{BROKER}-2"},
        {"AWS": f"arn:aws:iam::{OWN}:role/Broker"},
        {"AWS": f"arn:aws:iam::{OWN}:role/ciXBroker"},
        {"AWS": f"arn:aws:iam::{OTHER}:role/ci/Broker"},
        {"AWS": f"arn:aws:sts::{OTHER}:assumed-role/Broker/somebody"},
        {"AWS": [OWN, OTHER, f"arn:aws:iam::{OWN}:root"]},
        {"Service": "ecs.amazonaws.com"},
    ],
)
def test_other_principals_are_not_that_role(principal: object) -> None:
    assert places(Principal=principal) == []


def test_everyone_but_somebody_is_everyone() -> None:
    assert places(NotPrincipal={"AWS": OTHER_ROLE}) == ["NotPrincipal"]


@pytest.mark.parametrize(
    "condition",
    [
        {"ArnEquals": {WHO: BROKER}},
        {"ArnEquals": {"AWS:principalarn": BROKER.lower()}},
        {"ArnLike": {WHO: f"arn:aws:iam::{OWN}:role/ci/*"}},
        {"ArnLike": {WHO: [OTHER_ROLE, "arn:*:iam::*:role/*r"]}},
        {"ArnLike": {WHO: "arn:aws:iam::${aws:PrincipalAccount}:role/x"}},
        {"StringLike": {WHO: "*broker"}},
        {"StringEqualsIgnoreCase": {WHO: BROKER.upper()}},
        {"ForAnyValue:StringLikeIfExists": {WHO: "*"}},
        {"ArnNotEquals": {WHO: OTHER_ROLE}},
        {"ArnLike": {WHO: "arn:aws:iam::1*"}, "StringEquals": {"aws:PrincipalAccount": OWN}},
    ],
)
def test_a_condition_that_the_role_can_meet_lets_it_in(condition: dict[str, object]) -> None:
    assert places(Principal="*", Condition=condition) == ["Principal"]
    has_who = not any("Not" in operator for operator in condition)
    assert places(Principal={"AWS": OWN}, Condition=condition) == (["Principal.AWS"] if has_who else [])


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEquals": {"aws:PrincipalOrgID": "o-1234567890"}},
        {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
        {"Null": {WHO: "false"}},
        {"ArnNotEquals": {WHO: BROKER.lower()}},
        {"ArnNotLike": {WHO: "arn:aws:ecr"}},
        {"StringNotEquals": {WHO: "${aws:PrincipalArn}"}},
        {"NumericEquals": {"aws:PrincipalAccount": "2"}},
        {"StringEquals": {"aws:PrincipalAccount": [OTHER, OWN]}},
    ],
)
def test_a_condition_that_may_hold_for_the_role_does_not_keep_it_out(condition: dict[str, object]) -> None:
    assert places(Principal="*", Condition=condition) == ["Principal"]
    assert places(Principal={"AWS": OWN}, Condition=condition) == []


@pytest.mark.parametrize(
    "condition",
    [
        {"ArnNotEquals": {WHO: BROKER}},
        {"ArnNotLikeIfExists": {WHO: [OTHER_ROLE, f"arn:aws:iam::{OWN}:role/ci/*"]}},
        {"StringNotEquals": {WHO: BROKER}},
        {"StringNotEqualsIgnoreCase": {WHO: BROKER.lower()}},
        {"StringNotLike": {WHO: "*Broker"}},
        {"ArnEquals": {WHO: OTHER_ROLE}},
        {"ArnLike": {WHO: f"arn:aws:iam::{OTHER}:role/*"}},
        {"StringEquals": {WHO: "*"}},
        {"StringEquals": {"aws:PrincipalAccount": OTHER}},
        {"StringEquals": {"aws:PrincipalType": "User"}},
        {"Bool": {"aws:PrincipalIsAWSService": "true"}},
        {"Bool": {"aws:PrincipalIsAWSService": True}},
        {"Null": {WHO: "true"}},
        {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}, "ArnNotEquals": {WHO: BROKER}},
    ],
)
def test_a_condition_that_fails_for_the_role_keeps_it_out(condition: dict[str, object]) -> None:
    for principal in ("*", {"AWS": "*"}, {"AWS": OWN}):
        assert places(Principal=principal, Condition=condition) == []
