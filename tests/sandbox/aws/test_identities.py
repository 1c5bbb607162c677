"""Who may do what in the sandbox: roles, sessions, and policies that are changed."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError

from sandbox.aws.identities import SERVICE_USER, Credentials
from sandbox.aws.issuer import ISSUER
from sandbox.server import Sandbox
from tests.conftest import ACCOUNT, REGION
from tests.sandbox.clients import sdk, session_sdk

pytestmark = pytest.mark.asyncio

_ROLE = f"arn:aws:iam::{ACCOUNT}:role/wharfinger"
_BROKER = f"arn:aws:iam::{ACCOUNT}:role/wharfinger-broker"


async def assume(aws: Sandbox, **more: object) -> dict[str, Any]:
    """What AssumeRole answers wharfinger's user for its role."""
    async with sdk("sts", aws, user=SERVICE_USER) as sts:
        answer: dict[str, Any] = await sts.assume_role(**{"RoleArn": _ROLE, "RoleSessionName": "test", **more})
    return answer


def document(*actions: str, effect: str = "Allow") -> str:
    statement = {"Effect": effect, "Action": list(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


async def test_a_session_is_who_it_says(aws: Sandbox) -> None:
    answer = await assume(aws)
    async with session_sdk("sts", aws, answer["Credentials"]) as sts:
        caller = await sts.get_caller_identity()
    assert caller["Arn"] == answer["AssumedRoleUser"]["Arn"]
    assert caller["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/wharfinger/test"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"RoleArn": _BROKER}, "AccessDenied"),
        ({"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/nobody"}, "AccessDenied"),
        ({"RoleSessionName": "a b"}, "ValidationError"),
        ({"DurationSeconds": 3601}, "ValidationError"),
        ({"Policy": document("ecr:ListImages" + " " * 2048)}, "ValidationError"),
        ({"Policy": "{"}, "MalformedPolicyDocument"),
    ],
)
async def test_what_sts_refuses(aws: Sandbox, more: dict[str, Any], code: str) -> None:
    with pytest.raises(ClientError) as caught:
        await assume(aws, **more)
    assert caught.value.response["Error"]["Code"] == code


async def test_a_chained_session_is_for_an_hour_at_most(aws: Sandbox) -> None:
    async with sdk("iam", aws) as iam:
        await iam.update_role(RoleName="wharfinger-broker", MaxSessionDuration=43200)
    async with session_sdk("sts", aws, (await assume(aws))["Credentials"]) as sts:
        asked = {"RoleArn": _BROKER, "RoleSessionName": "chained"}
        await sts.assume_role(**asked, DurationSeconds=3600)
        with pytest.raises(ClientError, match="role chaining"):
            await sts.assume_role(**asked, DurationSeconds=3601)


async def test_a_session_policy_narrows(aws: Sandbox) -> None:
    credentials = (await assume(aws, Policy=document("ecr:DescribeRepositories")))["Credentials"]
    async with session_sdk("ecr", aws, credentials) as ecr:
        assert (await ecr.describe_repositories())["repositories"] == []
        with pytest.raises(ClientError, match="ecr:CreateRepository"):
            await ecr.create_repository(repositoryName="app")


async def test_a_session_policy_does_not_widen(aws: Sandbox) -> None:
    credentials = (await assume(aws, Policy=document("ecr:*")))["Credentials"]
    async with session_sdk("ecr", aws, credentials) as ecr:
        with pytest.raises(ClientError, match="ecr:GetAuthorizationToken"):
            await ecr.get_authorization_token()


async def test_an_external_id_must_be_the_right_one(aws: Sandbox) -> None:
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{SERVICE_USER}"},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"sts:ExternalId": "ours"}},
            }
        ],
    }
    async with sdk("iam", aws) as iam:
        await iam.update_assume_role_policy(RoleName="wharfinger", PolicyDocument=json.dumps(trust))
    for wrong in ({}, {"ExternalId": "theirs"}):
        with pytest.raises(ClientError, match="AccessDenied"):
            await assume(aws, **wrong)
    assert await assume(aws, ExternalId="ours")


async def test_a_policy_that_is_changed_counts_at_once(aws: Sandbox) -> None:
    credentials = (await assume(aws))["Credentials"]
    async with session_sdk("ecr", aws, credentials) as ecr, sdk("iam", aws) as iam:
        await ecr.create_repository(repositoryName="app")
        policy = document("ecr:DeleteRepository", effect="Deny")
        await iam.put_role_policy(RoleName="wharfinger", PolicyName="no-deletes", PolicyDocument=policy)
        with pytest.raises(ClientError, match="ecr:DeleteRepository"):
            await ecr.delete_repository(repositoryName="app")


async def test_a_managed_policy_counts_too(aws: Sandbox) -> None:
    async with sdk("iam", aws) as iam:
        made = await iam.create_policy(PolicyName="lists", PolicyDocument=document("ecr:DescribeRepositories"))
        await iam.attach_user_policy(UserName=SERVICE_USER, PolicyArn=made["Policy"]["Arn"])
    async with sdk("ecr", aws, user=SERVICE_USER) as ecr:
        assert (await ecr.describe_repositories())["repositories"] == []


@pytest.mark.parametrize(
    ("access_key", "secret", "code"),
    [(None, "wrong", "InvalidSignatureException"), ("AKIA0000000000000000", None, "UnrecognizedClientException")],
)
async def test_a_wrong_key_is_refused(aws: Sandbox, access_key: str | None, secret: str | None, code: str) -> None:
    mine = aws.credentials()
    keys = Credentials(access_key or mine.access_key, secret or mine.secret_key)
    async with sdk("ecr", aws, keys=keys) as ecr:
        with pytest.raises(ClientError) as caught:
            await ecr.describe_repositories()
    assert caught.value.response["Error"]["Code"] == code


def pod_trust(subject: str = "system:serviceaccount:team:app") -> str:
    """As `deploy/kubernetes/README.md` writes it."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{ISSUER}:aud": "sts.amazonaws.com", f"{ISSUER}:sub": subject}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


async def test_a_pod_becomes_its_role_by_what_the_sdk_does_by_itself(
    aws: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with sdk("iam", aws) as iam, sdk("eks", aws) as eks:
        cluster = (await eks.describe_cluster(name="demo"))["cluster"]
        assert cluster["identity"]["oidc"]["issuer"] == f"https://{ISSUER}"
        role = (await iam.create_role(RoleName="pod", AssumeRolePolicyDocument=pod_trust()))["Role"]["Arn"]
    (tmp_path / "token").write_text(aws.service_account_token("team", "app"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ROLE_ARN", role)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.endpoint())
    async with AioSession().create_client("sts", REGION) as sts:
        arn = (await sts.get_caller_identity())["Arn"]
    assert arn.startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/pod/")
    [call] = [call for call in aws.calls() if call.operation == "AssumeRoleWithWebIdentity"]
    assert call.parameters["WebIdentityToken"] == "***"


@pytest.mark.parametrize(
    ("subject", "token", "code"),
    [
        ("system:serviceaccount:team:other", None, "AccessDenied"),
        ("system:serviceaccount:team:app", "made.up.token", "InvalidIdentityToken"),
    ],
)
async def test_a_web_identity_is_refused(aws: Sandbox, subject: str, token: str | None, code: str) -> None:
    mine = token or aws.service_account_token("team", "app")
    assert await web_identity_refused(aws, pod_trust(subject), mine) == code


async def test_a_web_identity_lasts_a_day(aws: Sandbox) -> None:
    token = aws.service_account_token("team", "app")
    aws.advance(timedelta(days=1, seconds=1))
    assert await web_identity_refused(aws, pod_trust(), token) == "ExpiredTokenException"


async def web_identity_refused(aws: Sandbox, trust: str, token: str) -> str:
    async with sdk("iam", aws) as iam, sdk("sts", aws) as sts:
        role = (await iam.create_role(RoleName="pod", AssumeRolePolicyDocument=trust))["Role"]["Arn"]
        with pytest.raises(ClientError) as caught:
            await sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="me", WebIdentityToken=token)
    code: str = caught.value.response["Error"]["Code"]
    return code


@pytest.mark.parametrize("text", ["{", "[]", '{"Statement": []}'])
async def test_iam_takes_no_policy_that_is_none(aws: Sandbox, text: str) -> None:
    async with sdk("iam", aws) as iam:
        for call in (
            iam.create_role(RoleName="none", AssumeRolePolicyDocument=text),
            iam.update_assume_role_policy(RoleName="wharfinger", PolicyDocument=text),
            iam.put_role_policy(RoleName="wharfinger", PolicyName="none", PolicyDocument=text),
        ):
            with pytest.raises(ClientError, match="MalformedPolicyDocument"):
                await call


_NOT_IMITATED: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    ("ecr-public", "describe_repositories", {}, "UnsupportedCommandException"),
    ("sts", "get_session_token", {}, "InvalidAction"),
    ("sts", "get_federation_token", {"Name": "me"}, "InvalidAction"),
    ("sts", "decode_authorization_message", {"EncodedMessage": "x"}, "InvalidAction"),
    ("sts", "get_access_key_info", {"AccessKeyId": "AKIA0000000000000000"}, "InvalidAction"),
    ("cloudformation", "list_stacks", {}, "InvalidAction"),
    ("iam", "get_context_keys_for_custom_policy", {"PolicyInputList": ["{}"]}, "InvalidAction"),
    ("fis", "list_actions", {}, "UnsupportedCommandException"),
)


@pytest.mark.parametrize("call", _NOT_IMITATED, ids=lambda call: f"{call[0]}-{call[1]}")
async def test_what_is_not_imitated_is_refused_in_its_own_protocol(
    aws: Sandbox, capfd: pytest.CaptureFixture[str], call: tuple[str, str, dict[str, Any], str]
) -> None:
    service, operation, asked, code = call
    async with sdk(service, aws) as client:
        with pytest.raises(ClientError) as caught:
            await getattr(client, operation)(**asked)
    response = caught.value.response
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == (code, 400)
    assert capfd.readouterr() == ("", "")
