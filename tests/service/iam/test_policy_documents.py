"""Repository policies: each mistake is found where it is, and nobody is let in unnoticed."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from service.base.errors import InvalidError
from service.iam.documents import Document, canonical, hash_of, names_others, parse
from service.iam.templates import cross_account_pull, cross_account_push

OWN, OTHER = "111111111111", "222222222222"
STATEMENT = {"Effect": "Allow", "Principal": {"AWS": OWN}, "Action": "ecr:BatchGetImage"}


def policy(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """A valid policy of one statement with `changes`; None leaves an element out."""
    statement = {name: value for name, value in (STATEMENT | changes).items() if value is not None}
    return {"Version": "2012-10-17", "Statement": [statement]}


def mistakes(content: bytes) -> dict[str, str]:
    with pytest.raises(InvalidError) as caught:
        parse(content)
    assert caught.value.code == "invalid_policy"
    return {one.path: one.reason for one in caught.value.errors}


def places(document: object) -> list[str]:
    return list(mistakes(json.dumps(document).encode()))


def accepts(document: dict[str, Any]) -> bool:
    return parse(json.dumps(document).encode()) == document


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"Sid": "new statement"},
        {"Sid": "Push_2.0-beta"},
        {"Effect": "Deny"},
        {"Principal": "*"},
        {"Principal": {"AWS": "*"}},
        {"Principal": {"AWS": [OWN, OTHER]}},
        {"Principal": {"AWS": f"arn:aws:iam::{OWN}:root"}},
        {"Principal": {"AWS": f"arn:aws:iam::{OWN}:user/path/to/somebody@example"}},
        {"Principal": {"AWS": f"arn:aws-us-gov:iam::{OWN}:role/ci"}},
        {"Principal": {"AWS": f"arn:aws-cn:iam::{OWN}:role/ci"}},
        {"Principal": {"AWS": f"arn:aws:sts::{OWN}:assumed-role/ci/build-7"}},
        {"Principal": {"AWS": f"arn:aws:sts::{OWN}:federated-user/somebody"}},
        {"Principal": {"Service": "codebuild.amazonaws.com"}},
        {"Principal": {"Service": ["ecs.eu-central-1.amazonaws.com", "lambda.amazonaws.com.cn"]}},
        {"Principal": {"Federated": "cognito-identity.amazonaws.com"}},
        {"Principal": {"Federated": f"arn:aws:iam::{OWN}:saml-provider/idp"}},
        {"Principal": {"AWS": OWN, "Service": "codebuild.amazonaws.com"}},
        {"Principal": None, "NotPrincipal": {"AWS": OWN}, "Effect": "Deny"},
        {"Action": "*"},
        {"Action": "ecr:*"},
        {"Action": "ecr:Batch*"},
        {"Action": "ecr:?atchGetImage"},
        {"Action": "ECR:batchgetimage"},
        {"Action": ["ecr:PutImage", "ecr:Describe*"]},
        {"Action": None, "NotAction": "ecr:DeleteRepository"},
        {"Condition": {}},
        {"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-abc"}}},
        {"Condition": {"StringLikeIfExists": {"aws:PrincipalTag/team": ["a*", "b*"]}}},
        {"Condition": {"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": "o-abc/*"}}},
        {"Condition": {"ForAllValues:StringEqualsIfExists": {"aws:TagKeys": ["a"]}}},
        {"Condition": {"Bool": {"aws:SecureTransport": True}, "Null": {"aws:SourceVpc": "true"}}},
        {"Condition": {"NumericLessThanEquals": {"aws:MultiFactorAuthAge": 3600}}},
        {"Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}},
        {"Condition": {"DateGreaterThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}}},
        {"Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:codebuild:*:{OWN}:project/*"}}},
        {"Condition": {"StringEquals": {"aws:PrincipalTag/word": "é 🚢"}}},
    ],
)
def test_what_the_grammar_allows_is_accepted(changes: dict[str, Any]) -> None:
    assert accepts(policy(**changes))


def test_a_statement_may_stand_without_a_list() -> None:
    assert accepts({"Version": "2008-10-17", "Id": "what we agreed", "Statement": STATEMENT})


# The Service Authorization Reference's, for the resource type `repository`.
ACTIONS = [
    "BatchCheckLayerAvailability",
    "BatchDeleteImage",
    "BatchGetImage",
    "BatchGetRepositoryScanningConfiguration",
    "BatchImportUpstreamImage",
    "CompleteLayerUpload",
    "CreateRepository",
    "DeleteLifecyclePolicy",
    "DeleteRepository",
    "DeleteRepositoryPolicy",
    "DescribeImageReplicationStatus",
    "DescribeImageScanFindings",
    "DescribeImageSigningStatus",
    "DescribeImages",
    "DescribeRepositories",
    "GetDownloadUrlForLayer",
    "GetImageCopyStatus",
    "GetLifecyclePolicy",
    "GetLifecyclePolicyPreview",
    "GetRepositoryPolicy",
    "InitiateLayerUpload",
    "ListImageReferrers",
    "ListImages",
    "ListTagsForResource",
    "PutImage",
    "PutImageScanningConfiguration",
    "PutImageTagMutability",
    "PutLifecyclePolicy",
    "ReplicateImage",
    "SetRepositoryPolicy",
    "StartImageScan",
    "StartLifecyclePolicyPreview",
    "TagResource",
    "UntagResource",
    "UpdateImageStorageClass",
    "UploadLayerPart",
]


@pytest.mark.parametrize("action", ACTIONS)
def test_every_known_action_is_accepted(action: str) -> None:
    assert accepts(policy(Action=f"ecr:{action}"))


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"Sid": ""}, "Sid"),
        ({"Sid": "pull/push"}, "Sid"),
        ({"Sid": 7}, "Sid"),
        ({"Sid": None, "sid": "x"}, "sid"),
        ({"Effect": None}, "Effect"),
        ({"Effect": "allow"}, "Effect"),
        ({"Effect": ["Allow"]}, "Effect"),
        ({"Resource": "*"}, "Resource"),
        ({"NotResource": "*"}, "NotResource"),
        ({"Principal": None}, "Principal"),
        ({"Principal": {}}, "Principal"),
        ({"Principal": []}, "Principal"),
        ({"Principal": OWN}, "Principal"),
        ({"Principal": 7}, "Principal"),
        ({"NotPrincipal": {"AWS": OWN}}, "NotPrincipal"),
        ({"Principal": None, "NotPrincipal": {"AWS": "me"}}, "NotPrincipal.AWS"),
        ({"Principal": {"CanonicalUser": "x"}}, "Principal.CanonicalUser"),
        ({"Principal": {"aws": OWN}}, "Principal.aws"),
        ({"Principal": {"AWS": []}}, "Principal.AWS"),
        ({"Principal": {"AWS": {}}}, "Principal.AWS"),
        ({"Principal": {"AWS": int(OWN)}}, "Principal.AWS"),
        ({"Principal": {"AWS": "11111111111"}}, "Principal.AWS"),
        ({"Principal": {"AWS": OWN + "\n"}}, "Principal.AWS"),
        ({"Principal": {"AWS": [OWN, "1111"]}}, "Principal.AWS[1]"),
        ({"Principal": {"AWS": f"arn:aws:iam::{OWN}:role/*"}}, "Principal.AWS"),
        ({"Principal": {"AWS": f"arn:aws:iam::{OWN}:group/team"}}, "Principal.AWS"),
        ({"Principal": {"AWS": f"arn:aws:iam::{OWN}"}}, "Principal.AWS"),
        ({"Principal": {"AWS": "arn:aws:iam::*:root"}}, "Principal.AWS"),
        ({"Principal": {"AWS": f"arn:aws:sts::{OWN}:assumed-role/ci"}}, "Principal.AWS"),
        ({"Principal": {"AWS": f"arn:aws:ecr:eu-central-1:{OWN}:repository/app"}}, "Principal.AWS"),
        ({"Principal": {"AWS": "AROAEXAMPLEEXAMPLE"}}, "Principal.AWS"),
        ({"Principal": {"Service": "codebuild"}}, "Principal.Service"),
        ({"Principal": {"Service": "*"}}, "Principal.Service"),
        ({"Principal": {"Service": "amazonaws.com.example.org"}}, "Principal.Service"),
        ({"Principal": {"Federated": "*"}}, "Principal.Federated"),
        ({"Action": None}, "Action"),
        ({"Action": []}, "Action"),
        ({"Action": 7}, "Action"),
        ({"Action": ""}, "Action"),
        ({"NotAction": "ecr:PutImage"}, "NotAction"),
        ({"Action": "BatchGetImage"}, "Action"),
        ({"Action": "s3:GetObject"}, "Action"),
        ({"Action": "ecr:PushImage"}, "Action"),
        ({"Action": "ecr:"}, "Action"),
        ({"Action": "ecr:Push*"}, "Action"),
        ({"Action": "ecr:[PB]*"}, "Action"),
        ({"Action": "ecr:GetAuthorizationToken"}, "Action"),
        ({"Action": ["ecr:PutImage", "ecr:Nothing"]}, "Action[1]"),
        ({"Action": ["ecr:PutImage", ["ecr:PutImage"]]}, "Action[1]"),
        ({"Condition": []}, "Condition"),
        ({"Condition": {"StringSame": {"aws:PrincipalOrgID": "o"}}}, "Condition.StringSame"),
        ({"Condition": {"stringequals": {"aws:PrincipalOrgID": "o"}}}, "Condition.stringequals"),
        ({"Condition": {"NullIfExists": {"aws:SourceVpc": "true"}}}, "Condition.NullIfExists"),
        ({"Condition": {"IfExists": {"aws:SourceVpc": "x"}}}, "Condition.IfExists"),
        ({"Condition": {"ForSome:StringLike": {"aws:TagKeys": "x"}}}, "Condition.ForSome:StringLike"),
        ({"Condition": {"StringEquals": {}}}, "Condition.StringEquals"),
        ({"Condition": {"StringEquals": "o-abc"}}, "Condition.StringEquals"),
        ({"Condition": {"StringEquals": {"OrgID": "o"}}}, "Condition.StringEquals.OrgID"),
        ({"Condition": {"StringEquals": {"aws:a": []}}}, "Condition.StringEquals.aws:a"),
        ({"Condition": {"StringEquals": {"aws:a": ["x", None]}}}, "Condition.StringEquals.aws:a[1]"),
        ({"Condition": {"StringEquals": {"aws:a": {"x": "y"}}}}, "Condition.StringEquals.aws:a"),
        ({"Condition": {"StringEquals": {"aws:a": "\0"}}}, "Condition.StringEquals.aws:a"),
        ({"Condition": {"StringEquals": {"aws:a": "\ud800"}}}, "Condition.StringEquals.aws:a"),
        ({"\ud800 odd": 1}, '["\\ud800 odd"]'),
    ],
)
def test_a_mistake_is_named_with_its_place(changes: dict[str, Any], place: str) -> None:
    expected = f"body.Statement[0]{place}" if place.startswith("[") else f"body.Statement[0].{place}"
    assert places(policy(**changes)) == [expected]


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ([], "body"),
        ("Version", "body"),
        (None, "body"),
        ({"Statement": [STATEMENT]}, "body.Version"),
        ({"Version": "2012-10-18", "Statement": [STATEMENT]}, "body.Version"),
        ({"Version": 2012, "Statement": [STATEMENT]}, "body.Version"),
        ({"Version": ["2012-10-17"], "Statement": [STATEMENT]}, "body.Version"),
        ({"Version": "2012-10-17"}, "body.Statement"),
        ({"Version": "2012-10-17", "Statement": []}, "body.Statement"),
        ({"Version": "2012-10-17", "Statement": "all"}, "body.Statement"),
        ({"Version": "2012-10-17", "Statement": [STATEMENT, "all"]}, "body.Statement[1]"),
        ({"Version": "2012-10-17", "Statement": STATEMENT | {"Effect": "?"}}, "body.Statement.Effect"),
        ({"Version": "2012-10-17", "Statement": STATEMENT, "Owner": "us"}, "body.Owner"),
        ({"Version": "2012-10-17", "Statement": STATEMENT, "Id": 7}, "body.Id"),
        ({"Version": "2012-10-17", "Statement": STATEMENT, "Id": "a\0b"}, "body.Id"),
    ],
)
def test_a_mistake_outside_of_statements_too(document: object, place: str) -> None:
    assert places(document) == [place]


def test_every_mistake_is_named_at_once() -> None:
    wrong = {"Effect": "Permit", "Principal": {"AWS": ["*", "me"]}, "Action": ["ecr:Nothing"], "Resource": "*"}
    assert set(places({"Version": "2012-10-17", "Statement": [STATEMENT, wrong]})) == {
        "body.Statement[1].Resource",
        "body.Statement[1].Effect",
        "body.Statement[1].Principal.AWS[1]",
        "body.Statement[1].Action[0]",
    }


def test_a_sid_may_be_used_once_only() -> None:
    document = {"Version": "2012-10-17", "Statement": [STATEMENT | {"Sid": "a"}, STATEMENT | {"Sid": "a"}]}
    assert places(document) == ["body.Statement[1].Sid"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"{'Version': 1}", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"Version": NaN}', "no policy has"),
        (b'{"Version": ' + b"9" * 5000 + b"}", "no policy has"),
        (b"[" * 10_240, "no policy has"),
        (b" " * (10_240 + 1), "characters"),
    ],
)
def test_what_is_no_json_is_refused_whole(content: bytes, reason: str) -> None:
    found = mistakes(content)
    assert list(found) == ["body"]
    assert reason in found["body"]


def test_infinity_written_as_a_number_is_refused() -> None:
    content = json.dumps(policy(Condition={"NumericEquals": {"aws:a": 7}})).replace("7}", "1e999}").encode()
    assert list(mistakes(content)) == ["body.Statement[0].Condition.NumericEquals.aws:a"]


def test_the_limit_counts_characters_not_bytes() -> None:
    document = json.dumps({"Version": "2012-10-17", "Id": "", "Statement": [STATEMENT]}, ensure_ascii=False)
    fill = "é" * (10_240 - len(document))
    full = document.replace('"Id": ""', f'"Id": "{fill}"')
    assert parse(full.encode())["Id"] == fill
    assert list(mistakes(full.encode() + b" ")) == ["body"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"Version": "2012-10-17", "Version": "2012-10-17", "Statement": []}', "body.Version"),
        ('{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Effect": "Allow"}]}', "body.Statement[0].Effect"),
        (
            '{"Version": "2012-10-17", "Statement": {"Principal": {"AWS": "111111111111", "AWS": "*"}}}',
            "body.Statement.Principal.AWS",
        ),
    ],
)
def test_a_key_that_comes_twice_is_refused_where_it_is(text: str, place: str) -> None:
    assert mistakes(text.encode()) == {place: "comes twice in this object"}


@pytest.mark.parametrize(
    "principal",
    [
        {"AWS": OWN},
        {"AWS": [OWN, f"arn:aws:iam::{OWN}:root"]},
        {"AWS": f"arn:aws:iam::{OWN}:role/{OTHER}"},
        {"AWS": f"arn:aws:sts::{OWN}:assumed-role/ci/build"},
    ],
)
def test_a_policy_for_our_own_account_names_no_others(principal: object) -> None:
    document = policy(Principal=principal)
    assert accepts(document)
    assert not names_others(document, OWN)


@pytest.mark.parametrize(
    "changes",
    [
        {"Principal": "*"},
        {"Principal": {"AWS": "*"}},
        {"Principal": {"AWS": OTHER}},
        {"Principal": {"AWS": [OWN, OTHER]}},
        {"Principal": {"AWS": f"arn:aws:iam::{OTHER}:role/{OWN}"}},
        {"Principal": {"AWS": f"arn:aws:sts::{OTHER}:assumed-role/ci/{OWN}"}},
        {"Principal": {"Service": "codebuild.amazonaws.com"}},
        {"Principal": {"AWS": OWN, "Service": "codebuild.amazonaws.com"}},
        {"Principal": {"Federated": f"arn:aws:iam::{OWN}:saml-provider/idp"}},
        {"Principal": None, "NotPrincipal": {"AWS": OTHER}},
        {"Principal": None, "NotPrincipal": {"AWS": OWN}},
        {"Principal": "*", "Condition": {"StringEquals": {"aws:PrincipalAccount": OWN}}},
    ],
)
def test_a_policy_that_may_let_others_in_is_told_apart(changes: dict[str, Any]) -> None:
    document = policy(**changes)
    assert accepts(document)
    assert names_others(document, OWN)


@pytest.mark.parametrize("principal", ["*", {"AWS": OTHER}, {"Service": "codebuild.amazonaws.com"}])
def test_a_deny_lets_nobody_in(principal: object) -> None:
    assert not names_others(policy(Principal=principal, Effect="Deny"), OWN)


def test_one_foreign_statement_among_own_ones_is_enough() -> None:
    foreign = STATEMENT | {"Principal": {"AWS": OTHER}}
    assert names_others({"Version": "2012-10-17", "Statement": [STATEMENT, foreign]}, OWN)
    assert names_others({"Version": "2012-10-17", "Statement": foreign}, OWN)


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ({"Principal": {"AWS": OWN}}, {"Principal": {"AWS": [f"arn:aws:iam::{OWN}:root"]}}),
        ({"Principal": {"AWS": [OWN, OTHER]}}, {"Principal": {"AWS": [OTHER, OWN]}}),
        ({"Principal": "*"}, {"Principal": {"AWS": "*"}}),
        ({"Action": "ecr:PutImage"}, {"Action": ["ecr:PutImage"]}),
        ({"Action": ["ecr:PutImage", "ecr:ListImages"]}, {"Action": ["ecr:ListImages", "ecr:PutImage"]}),
        ({"Condition": {"Bool": {"a:b": True}}}, {"Condition": {"Bool": {"a:b": ["true"]}}}),
    ],
)
def test_documents_that_say_the_same_have_one_hash(one: dict[str, Any], same: dict[str, Any]) -> None:
    assert hash_of(policy(**one)) == hash_of(policy(**same))


def test_a_lone_statement_and_the_order_of_keys_make_no_difference() -> None:
    assert canonical({"Statement": STATEMENT, "Version": "2012-10-17"}) == canonical(policy())


@pytest.mark.parametrize(
    "changes",
    [
        {"Effect": "Deny"},
        {"Sid": "named"},
        {"Action": "ecr:PutImage"},
        {"Principal": {"AWS": OTHER}},
        {"Principal": {"Service": "codebuild.amazonaws.com"}},
        {"Principal": None, "NotPrincipal": {"AWS": OWN}},
        {"Condition": {"Bool": {"aws:SecureTransport": "true"}}},
    ],
)
def test_documents_that_differ_have_different_hashes(changes: dict[str, Any]) -> None:
    assert hash_of(policy(**changes)) != hash_of(policy())


@pytest.mark.parametrize("fill", [cross_account_pull, cross_account_push])
def test_a_template_is_valid_and_names_each_account_once(fill: Callable[[Sequence[str]], Document]) -> None:
    document = fill([OTHER, OWN, OTHER])
    assert accepts(document)
    assert document["Statement"][0]["Principal"] == {"AWS": [OTHER, OWN]}
    assert names_others(document, OWN)


def test_the_push_template_has_what_docker_push_needs() -> None:
    document = cross_account_push([OTHER])
    assert set(document["Statement"][0]["Action"]) >= {
        "ecr:BatchCheckLayerAvailability",
        "ecr:InitiateLayerUpload",
        "ecr:UploadLayerPart",
        "ecr:CompleteLayerUpload",
        "ecr:PutImage",
    }
