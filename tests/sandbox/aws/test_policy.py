"""Who may do what: tables of policies, with what AWS documents that they come to."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from sandbox.aws.policy import MalformedPolicyError, Principal, Request, is_allowed, is_trusted, parse

HOME, AWAY = "111111111111", "222222222222"
USER = f"arn:aws:iam::{HOME}:user/ann"
ROLE = f"arn:aws:iam::{HOME}:role/broker"
SESSION = f"arn:aws:sts::{HOME}:assumed-role/broker/ci"
REPOSITORY = f"arn:aws:ecr:eu-central-1:{HOME}:repository/team/app"
OTHER_REPOSITORY = f"arn:aws:ecr:eu-central-1:{HOME}:repository/team/other"
TRUSTED_ROLE = f"arn:aws:iam::{HOME}:role/wharfinger"


def policy(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def statement(effect: str = "Allow", **elements: object) -> dict[str, object]:
    return {"Effect": effect, "Action": "*", "Resource": "*"} | elements


def attached(principal: object, effect: str = "Allow", action: str = "ecr:PutImage", **elements: object) -> str:
    """A policy of a repository or a role: it has a Principal and no Resource."""
    return policy({"Effect": effect, "Action": action, "Principal": principal, **elements})


ANYTHING = policy(statement())
NOTHING_TO_DO_WITH_IT = policy(statement(Action="s3:*"))
DENY = policy(statement("Deny", Action="ecr:PutImage"))


def user(*identity: str) -> Principal:
    return Principal(account=HOME, arn=USER, role_arn=None, identity=identity, session=None)


def role(*identity: str, session: tuple[str, ...] | None = None) -> Principal:
    return Principal(account=HOME, arn=SESSION, role_arn=ROLE, identity=identity, session=session)


ROOT = Principal(HOME, f"arn:aws:iam::{HOME}:root", role_arn=None, identity=(), session=None, is_root=True)


def put_image(principal: Principal, context: Mapping[str, str] | None = None) -> Request:
    return Request("ecr:PutImage", REPOSITORY, principal, context or {})


def says(document: str, request: Request) -> bool:
    """What a document alone comes to, attached to a user."""
    return is_allowed(replace(request, principal=user(document)), resource_account=HOME, resource_policy=None)


LIMITED = (NOTHING_TO_DO_WITH_IT,)
IN_OWN_ACCOUNT = {
    "nobody allows": (user(), None, False),
    "the identity allows": (user(ANYTHING), None, True),
    "one document of several allows": (user(NOTHING_TO_DO_WITH_IT, ANYTHING), None, True),
    "the identity denies": (user(ANYTHING, DENY), None, False),
    "the identity denies what the repository allows": (user(DENY), attached({"AWS": USER}), False),
    "the repository denies": (user(ANYTHING), attached("*", "Deny"), False),
    "the repository denies the account": (user(ANYTHING), attached({"AWS": HOME}, "Deny"), False),
    "the repository denies the role of a session": (role(ANYTHING), attached({"AWS": ROLE}, "Deny"), False),
    "the repository denies somebody else": (user(ANYTHING), attached({"AWS": AWAY}, "Deny"), True),
    "the repository names the user": (user(), attached({"AWS": USER}), True),
    "the repository names everyone": (user(), attached("*"), True),
    "the repository names everyone of AWS": (user(), attached({"AWS": "*"}), True),
    "the repository names another user": (user(), attached({"AWS": f"{USER}a"}), False),
    "the repository names the user for something else": (user(), attached({"AWS": USER}, action="ecr:List*"), False),
    "the repository names the account, the identity does not allow": (user(), attached({"AWS": HOME}), False),
    "the repository names the account, the identity allows": (user(ANYTHING), attached({"AWS": HOME}), True),
    "the repository names a service": (user(), attached({"Service": "lambda.amazonaws.com"}), False),
    "a statement without principal in a repository's policy": (user(), ANYTHING, False),
    "the session's policy allows": (role(ANYTHING, session=(ANYTHING,)), None, True),
    "one of the session's policies allows": (role(ANYTHING, session=(*LIMITED, ANYTHING)), None, True),
    "the session's policy does not allow": (role(ANYTHING, session=LIMITED), None, False),
    "the session's policy allows more than the role": (role(session=(ANYTHING,)), None, False),
    "the session's policy denies": (role(ANYTHING, session=(ANYTHING, DENY)), None, False),
    "the session is named, its policy does not allow": (role(session=LIMITED), attached({"AWS": SESSION}), True),
    "the session is named, its policy denies": (role(session=(DENY,)), attached({"AWS": SESSION}), False),
    "the role is named, no session policy": (role(), attached({"AWS": ROLE}), True),
    "the role is named, the session's policy allows": (role(session=(ANYTHING,)), attached({"AWS": ROLE}), True),
    "the role is named, the session's policy does not": (role(session=LIMITED), attached({"AWS": ROLE}), False),
    "everyone is named, the session's policy does not allow": (role(session=LIMITED), attached("*"), False),
    "the role is named in a condition, the session's policy does not allow": (
        role(session=LIMITED),
        attached("*", Condition={"ArnEquals": {"aws:PrincipalArn": ROLE}}),
        True,
    ),
    "the role is named in a condition, the session's policy denies": (
        role(session=(DENY,)),
        attached("*", Condition={"ArnEquals": {"aws:PrincipalArn": ROLE}}),
        False,
    ),
    "the account is named, only the session's policy allows": (
        role(session=(ANYTHING,)),
        attached({"AWS": HOME}),
        False,
    ),
    "another session is named": (role(), attached({"AWS": f"{SESSION}-2"}), False),
    "root needs no policy": (ROOT, None, True),
    "root is denied by the repository": (ROOT, attached({"AWS": HOME}, "Deny"), False),
}


@pytest.mark.parametrize(("principal", "resource_policy", "expected"), IN_OWN_ACCOUNT.values(), ids=IN_OWN_ACCOUNT)
def test_in_own_account(principal: Principal, resource_policy: str | None, *, expected: bool) -> None:
    answer = is_allowed(put_image(principal), resource_account=HOME, resource_policy=resource_policy)
    assert answer is expected


ACROSS_ACCOUNTS = {
    "no policy of the repository": (user(ANYTHING), None, False),
    "the account is named": (user(ANYTHING), attached({"AWS": HOME}), True),
    "the root ARN is named": (user(ANYTHING), attached({"AWS": f"arn:aws:iam::{HOME}:root"}), True),
    "the user is named": (user(ANYTHING), attached({"AWS": [AWAY, USER]}), True),
    "the role is named": (role(ANYTHING), attached({"AWS": ROLE}), True),
    "the session is named": (role(ANYTHING), attached({"AWS": SESSION}), True),
    "everyone is named": (user(ANYTHING), attached("*"), True),
    "another account is named": (user(ANYTHING), attached({"AWS": AWAY}), False),
    "the user is named, the identity does not allow": (user(), attached({"AWS": USER}), False),
    "the session is named, its policy does not allow": (
        role(ANYTHING, session=LIMITED),
        attached({"AWS": SESSION}),
        False,
    ),
    "the repository allows and denies": (
        user(ANYTHING),
        policy(*(json.loads(attached("*", effect))["Statement"][0] for effect in ("Allow", "Deny"))),
        False,
    ),
    "root's account is named": (ROOT, attached({"AWS": HOME}), True),
    "root's account is not named": (ROOT, attached({"AWS": AWAY}), False),
}


@pytest.mark.parametrize(("principal", "resource_policy", "expected"), ACROSS_ACCOUNTS.values(), ids=ACROSS_ACCOUNTS)
def test_across_accounts(principal: Principal, resource_policy: str | None, *, expected: bool) -> None:
    answer = is_allowed(put_image(principal), resource_account=AWAY, resource_policy=resource_policy)
    assert answer is expected


HOME_ROOT = f"arn:aws:iam::{HOME}:root"
NOT_PRINCIPAL = {
    "spares the user listed with the account": (user(ANYTHING), [USER, HOME_ROOT], True),
    "denies the user whose account is not listed": (user(ANYTHING), [USER], False),
    "denies another user of the account": (user(ANYTHING), [f"{USER}a", HOME], False),
    "spares the session listed with role and account": (role(ANYTHING), [SESSION, ROLE, HOME], True),
    "denies the session that is not listed": (role(ANYTHING), [ROLE, HOME], False),
    "spares root": (ROOT, [HOME], True),
    "spares everyone": (user(ANYTHING), ["*"], True),
}


@pytest.mark.parametrize(("principal", "listed", "expected"), NOT_PRINCIPAL.values(), ids=NOT_PRINCIPAL)
def test_not_principal(principal: Principal, listed: list[str], *, expected: bool) -> None:
    denying = policy({"Effect": "Deny", "Action": "*", "NotPrincipal": {"AWS": listed}})
    assert is_allowed(put_image(principal), resource_account=HOME, resource_policy=denying) is expected


MAY_ASSUME = policy(statement(Action="sts:AssumeRole", Resource=TRUSTED_ROLE))
ASSUME = "sts:AssumeRole"
TRUST = {
    "the user is named": (user(), attached({"AWS": USER}, action=ASSUME), HOME, True),
    "the user is named, but denied by the identity": (
        user(policy(statement("Deny", Action="sts:*"))),
        attached({"AWS": USER}, action=ASSUME),
        HOME,
        False,
    ),
    "the account is named, the identity allows": (user(MAY_ASSUME), attached({"AWS": HOME}, action=ASSUME), HOME, True),
    "the account is named, the identity does not": (user(), attached({"AWS": HOME}, action=ASSUME), HOME, False),
    "only the identity allows": (user(ANYTHING), attached({"AWS": AWAY}, action=ASSUME), HOME, False),
    "not even root without trust": (ROOT, attached({"AWS": AWAY}, action=ASSUME), HOME, False),
    "the trust denies": (user(ANYTHING), attached({"AWS": USER}, "Deny", ASSUME), HOME, False),
    "the role of a session is named": (role(), attached({"AWS": ROLE}, action=ASSUME), HOME, True),
    "the role is named, the session's policy does not allow": (
        role(MAY_ASSUME, session=LIMITED),
        attached({"AWS": ROLE}, action=ASSUME),
        HOME,
        False,
    ),
    "across accounts both allow": (user(MAY_ASSUME), attached({"AWS": USER}, action=ASSUME), AWAY, True),
    "across accounts the identity does not": (user(), attached({"AWS": USER}, action=ASSUME), AWAY, False),
    "trusted for another action": (user(ANYTHING), attached({"AWS": USER}, action="sts:TagSession"), HOME, False),
}


@pytest.mark.parametrize(("principal", "trust", "account", "expected"), TRUST.values(), ids=TRUST)
def test_trust(principal: Principal, trust: str, account: str, *, expected: bool) -> None:
    assert is_trusted(trust, Request(ASSUME, TRUSTED_ROLE, principal), account=account) is expected


EXTERNAL_ID = {"StringEquals": {"sts:ExternalId": "blue"}}


@pytest.mark.parametrize(
    ("given", "expected"), [({"sts:externalid": "blue"}, True), ({"sts:externalid": "Blue"}, False), ({}, False)]
)
def test_trust_with_an_external_id(given: Mapping[str, str], *, expected: bool) -> None:
    trust = attached({"AWS": USER}, action=ASSUME, Condition=EXTERNAL_ID)
    assert is_trusted(trust, Request(ASSUME, TRUSTED_ROLE, user(), given), account=HOME) is expected


ELEMENTS = [
    ({"Action": "ECR:putimage"}, True),
    ({"Action": ["ecr:GetImage", "ecr:Put*"]}, True),
    ({"Action": "ecr:PutImag?"}, True),
    ({"Action": "ecr:PutImage?"}, False),
    ({"Action": "ecr:Put"}, False),
    ({"Action": "s3:PutImage"}, False),
    ({"Resource": REPOSITORY}, True),
    ({"Resource": REPOSITORY.upper().replace("ARN", "arn")}, False),
    ({"Resource": OTHER_REPOSITORY}, False),
    ({"Resource": [OTHER_REPOSITORY, f"arn:aws:ecr:*:{HOME}:repository/*"]}, True),
    ({"Resource": f"arn:aws:ecr:eu-central-1:{HOME}:*"}, True),
    ({"Resource": f"arn:aws:ecr:eu-central-1:{HOME}:repository/team"}, False),
    ({"Resource": "arn:aws:*:repository/team/app"}, True),
    ({"Resource": "arn:*:*:*:*:team/app"}, False),
    ({"Resource": f"arn:aws:ecr:*:repository/team:{HOME}:app"}, False),
]


@pytest.mark.parametrize(("elements", "expected"), ELEMENTS)
def test_what_a_statement_covers(elements: Mapping[str, Any], *, expected: bool) -> None:
    assert says(policy(statement(**elements)), put_image(user())) is expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", True),
        ("ecr:*****PutImage", True),
        ("ecr:*u*m*e", True),
        ("ecr:*P?t*Im?ge*", True),
        ("ecr:*tI*tI*", False),
        (f"ecr:{'*a' * 64}", False),
        (f"ecr:{'*' * 64}s", False),
        (f"ecr:{'*?' * 64}", False),
    ],
)
def test_however_many_wildcards_are_matched_in_no_time(pattern: str, *, expected: bool) -> None:
    assert says(policy(statement(Action=pattern)), put_image(user())) is expected


NEGATED = [
    ({"NotAction": "ecr:Put*", "Resource": "*"}, False),
    ({"NotAction": ["iam:*", "ecr:Get*"], "Resource": "*"}, True),
    ({"Action": "*", "NotResource": REPOSITORY}, False),
    ({"Action": "*", "NotResource": OTHER_REPOSITORY}, True),
]


@pytest.mark.parametrize(("elements", "expected"), NEGATED)
def test_what_a_negated_element_leaves(elements: Mapping[str, object], *, expected: bool) -> None:
    assert says(policy({"Effect": "Allow", **elements}), put_image(user())) is expected


def test_a_call_about_no_resource_is_allowed_by_a_star_only() -> None:
    login = Request("ecr:GetAuthorizationToken", "*", user())
    assert says(policy(statement()), login)
    assert not says(policy(statement(Resource=REPOSITORY)), login)


KEY = "aws:x"
PRESENT = {KEY: "Team/App"}
ABSENT: Mapping[str, str] = {}
AN_ARN = {KEY: "arn:aws:iam::111111111111:role/ci/deploy"}
CONDITIONS = [
    ({"StringEquals": {"AWS:X": "Team/App"}}, PRESENT, True),
    ({"StringEquals": {KEY: "team/app"}}, PRESENT, False),
    ({"StringEquals": {KEY: ["a", "Team/App"]}}, PRESENT, True),
    ({"StringEquals": {KEY: "Team/*"}}, PRESENT, False),
    ({"StringEquals": {KEY: "Team/App"}}, ABSENT, False),
    ({"StringEqualsIfExists": {KEY: "a"}}, ABSENT, True),
    ({"StringEqualsIfExists": {KEY: "a"}}, PRESENT, False),
    ({"StringNotEquals": {KEY: ["a", "b"]}}, PRESENT, True),
    ({"StringNotEquals": {KEY: ["a", "Team/App"]}}, PRESENT, False),
    ({"StringNotEquals": {KEY: "a"}}, ABSENT, True),
    ({"StringEqualsIgnoreCase": {KEY: "team/app"}}, PRESENT, True),
    ({"StringLike": {KEY: "Team/*"}}, PRESENT, True),
    ({"StringLike": {KEY: "team/*"}}, PRESENT, False),
    ({"StringLike": {KEY: "Team/A??"}}, PRESENT, True),
    ({"StringLikeIfExists": {KEY: "a*"}}, ABSENT, True),
    ({"StringNotLike": {KEY: "Team/*"}}, PRESENT, False),
    ({"StringNotLike": {KEY: "b*"}}, PRESENT, True),
    ({"ArnEquals": {KEY: "arn:aws:iam::*:role/ci/*"}}, AN_ARN, True),
    ({"ArnLike": {KEY: "arn:aws:iam::111111111111:*"}}, AN_ARN, True),
    ({"ArnLike": {KEY: "arn:aws:*:111111111111:*:*"}}, {KEY: "arn:aws:logs:eu-west-1:111111111111:log-group:a"}, False),
    ({"ArnLike": {KEY: "arn:aws:iam:::role/*"}}, AN_ARN, False),
    ({"ArnNotLike": {KEY: "arn:aws:iam::*:role/*"}}, AN_ARN, False),
    ({"ArnNotLike": {KEY: "arn:aws:iam::*:role/*"}}, ABSENT, True),
    ({"ArnNotEquals": {KEY: "arn:aws:iam::*:role/*"}}, AN_ARN, False),
    ({"ArnNotEquals": {KEY: "arn:aws:iam::*:user/*"}}, AN_ARN, True),
    ({"Bool": {KEY: "true"}}, {KEY: "True"}, True),
    ({"Bool": {KEY: True}}, {KEY: "true"}, True),
    ({"Bool": {KEY: "true"}}, {KEY: "false"}, False),
    ({"Bool": {KEY: "false"}}, ABSENT, False),
    ({"BoolIfExists": {KEY: "false"}}, ABSENT, True),
    ({"Null": {KEY: "true"}}, ABSENT, True),
    ({"Null": {KEY: "true"}}, PRESENT, False),
    ({"Null": {KEY: False}}, ABSENT, False),
    ({"Null": {KEY: "false"}}, PRESENT, True),
    ({"StringEquals": {KEY: "Team/App", "aws:y": "2"}}, PRESENT, False),
    ({"StringEquals": {KEY: "Team/App"}, "Null": {KEY: "true"}}, PRESENT, False),
    ({}, ABSENT, True),
]


@pytest.mark.parametrize(("condition", "context", "expected"), CONDITIONS)
def test_conditions(condition: Mapping[str, object], context: Mapping[str, str], *, expected: bool) -> None:
    assert says(policy(statement(Condition=condition)), put_image(user(), context)) is expected


@pytest.mark.parametrize(("principal", "arn"), [(user(), USER), (role(), ROLE)])
def test_the_caller_is_known_to_conditions_by_its_user_or_role(principal: Principal, arn: str) -> None:
    condition = {"ArnEquals": {"aws:PrincipalArn": arn}, "StringEquals": {"aws:PrincipalAccount": HOME}}
    allowing = attached("*", Condition=condition)
    assert is_allowed(put_image(principal), resource_account=HOME, resource_policy=allowing)


MALFORMED = [
    ("{", "not JSON"),
    ("[" * 100_000, "not JSON"),
    ("[]", "the policy must be an object"),
    ('{"Version": "2013-01-01", "Statement": []}', "Version must be one of 2012-10-17, 2008-10-17"),
    ('{"Statement": []}', "Statement must not be empty"),
    ("{}", r"Statement\[0\] must be an object"),
    ('{"Statements": []}', "the policy has unknown elements: Statements"),
    (policy(statement(), {"Effect": "Allow"}), r"Statement\[1\] must have Action or NotAction"),
    (policy(statement(effect="allow")), r"Statement\[0\].Effect must be Allow or Deny"),
    (policy(statement(Effect=["Allow"])), r"Effect must be Allow or Deny"),
    (policy(statement(Actions="*")), "unknown elements: Actions"),
    (policy(statement(NotAction="*")), "must not have both Action and NotAction"),
    (policy(statement(NotResource="*")), "must not have both Resource and NotResource"),
    (policy(statement(Action=[])), "Action must not be empty"),
    (policy(statement(Action={"a": 1})), "Action must be a string or a list of strings"),
    (policy(statement(Action="PutImage")), "'PutImage' is not of the form service:Action"),
    (policy(statement(Resource="team/app")), r"'team/app' is neither an ARN nor '\*'"),
    (policy(statement(Principal="ann")), "Principal must be"),
    (policy(statement(Principal={})), "Principal must be"),
    (policy(statement(Principal={"AWS": "12345"})), "invalid principal '12345'"),
    (policy(statement(Principal={"AWS": f"arn:aws:iam::{HOME}:role/*"})), "invalid principal"),
    (policy(statement(Principal={"aws": HOME})), "unknown elements: aws"),
    (policy(statement(NotPrincipal={"AWS": HOME})), "NotPrincipal can only be used with Deny"),
    (policy(statement(Condition="x")), "Condition must be an object"),
    (policy(statement(Condition={"StringEquals": "x"})), "Condition.StringEquals must be an object"),
    (policy(statement(Condition={"StringIs": {KEY: "x"}})), "Condition.StringIs.aws:x: unknown operator 'StringIs'"),
    (policy(statement(Condition={"NullIfExists": {KEY: "true"}})), "unknown operator 'NullIfExists'"),
    (policy(statement(Condition={"Null": {KEY: "maybe"}})), "must be true or false"),
    (policy(statement(Condition={"StringLike": {KEY: []}})), "must not be empty"),
]


@pytest.mark.parametrize(("text", "what"), MALFORMED)
def test_a_malformed_policy_says_what_is_wrong_where(text: str, what: str) -> None:
    with pytest.raises(MalformedPolicyError, match=what):
        parse(text)


def test_a_malformed_attached_policy_is_an_error_not_a_refusal() -> None:
    with pytest.raises(MalformedPolicyError):
        is_allowed(put_image(ROOT), resource_account=HOME, resource_policy="{}")
