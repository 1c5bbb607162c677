"""Docker credentials: as wide as asked and no wider, recorded and never kept."""

import base64
import hashlib
import json
from datetime import datetime
from typing import Any

import httpx
import pytest
import structlog
from sqlalchemy import select

from sandbox.server import Sandbox
from service.base.db import Database
from service.base.tables import operations
from tests.api.token_requests import PULL, PUSH, reaches, vends
from tests.conftest import ACCOUNT, REGION
from tests.marks import only_sqlite
from tests.sandbox.clients import sdk

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("team_and_other")]

_CONFIG = "application/vnd.docker.config+json"


async def test_a_credential_reaches_what_was_asked_for_and_no_more(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    pull = (await admin.post("/v1/tokens", json=PULL)).json()
    push = (await admin.post("/v1/tokens", json=PUSH)).json()

    assert (pull["username"], pull["host"]) == ("AWS", aws.host(ACCOUNT, REGION))
    assert await reaches(aws, pull["password"], "GET", "/v2/team/app/manifests/none") == 404
    assert await reaches(aws, pull["password"], "POST", "/v2/team/app/blobs/uploads/") == 403
    assert await reaches(aws, push["password"], "POST", "/v2/team/app/blobs/uploads/") == 202
    assert await reaches(aws, push["password"], "POST", "/v2/other/app/blobs/uploads/") == 403
    assert await reaches(aws, push["password"], "GET", "/v2/other/app/manifests/none") == 403


@only_sqlite
@pytest.mark.parametrize(
    ("actions", "allowed"),
    [
        (["pull"], {"manifest", "tags"}),
        (["push"], {"manifest", "upload"}),
        (["pull", "push"], {"manifest", "tags", "upload"}),
    ],
)
async def test_each_kind_may_what_its_clients_ask(
    admin: httpx.AsyncClient, aws: Sandbox, actions: list[str], allowed: set[str]
) -> None:
    """Of a push credential also whether a manifest is there, and of a pull credential which tags there are."""
    asked = {
        "manifest": ("HEAD", "/v2/team/app/manifests/none", 404),
        "tags": ("GET", "/v2/team/app/tags/list", 200),
        "upload": ("POST", "/v2/team/app/blobs/uploads/", 202),
    }
    token = (await admin.post("/v1/tokens", json=PULL | {"actions": actions})).json()

    answers = {name: await reaches(aws, token["password"], method, path) for name, (method, path, _) in asked.items()}

    assert answers == {name: status if name in allowed else 403 for name, (_, _, status) in asked.items()}


@only_sqlite
@pytest.mark.parametrize(
    ("actions", "granted"),
    [
        (["pull"], {"BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer", "ListImages"}),
        (
            ["push"],
            {
                "BatchCheckLayerAvailability",
                "BatchGetImage",
                "CompleteLayerUpload",
                "InitiateLayerUpload",
                "PutImage",
                "UploadLayerPart",
            },
        ),
    ],
)
async def test_aws_is_told_to_deny_all_but_what_was_asked(
    admin: httpx.AsyncClient, aws: Sandbox, actions: list[str], granted: set[str]
) -> None:
    (await admin.post("/v1/tokens", json=PULL | {"actions": actions})).raise_for_status()

    [vend] = vends(aws)
    login, allow, other_actions, other_repositories = json.loads(vend.parameters["Policy"])["Statement"]
    assert login == {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"}
    assert (allow["Effect"], set(allow["Action"])) == ("Allow", {f"ecr:{name}" for name in granted})
    assert allow["Resource"] == f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/team/app"
    assert (other_actions["Effect"], other_repositories["Effect"]) == ("Deny", "Deny")
    assert other_actions["Resource"] == "*"
    assert set(other_actions["NotAction"]) == {f"ecr:{name}" for name in {"GetAuthorizationToken"} | granted}
    assert other_repositories["NotAction"] == "ecr:GetAuthorizationToken"
    assert other_repositories["NotResource"] == f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/team/app"


@only_sqlite
async def test_as_many_repositories_as_fit_are_vended_at_once(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    """AWS takes 2,048 characters of session policy (STS API reference, AssumeRole)."""
    names = [f"team/{'x' * 15}" + letter for letter in "abcdefghijklmnopqrstuvwxyz"]
    answers = [
        await admin.post("/v1/tokens", json={"repositories": names[:count], "actions": ["pull", "push"]})
        for count in (22, 23)
    ]

    assert [answer.status_code for answer in answers] == [200, 422]
    [vend] = vends(aws)
    assert (
        2048 - len(f'"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{names[0]}",') < len(vend.parameters["Policy"]) <= 2048
    )
    # Too many to be named twice: then the Deny alone holds it to them.
    allow, *denied = json.loads(vend.parameters["Policy"])["Statement"]
    assert (allow["Action"], [one["Effect"] for one in denied]) == ("ecr:*", ["Deny", "Deny"])
    password = answers[0].json()["password"]
    assert await reaches(aws, password, "GET", "/v2/team/app/manifests/none") == 403
    [mistake] = answers[1].json()["errors"]
    assert (mistake["path"], "of 2,048; name a prefix" in mistake["reason"]) == ("body.repositories", True)


@only_sqlite
@pytest.mark.parametrize(
    "statement",
    [
        {"Principal": "*", "Condition": {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/wharfinger-*"}}},
        {"Principal": {"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/wharfinger-broker/SESSION"}},
    ],
)
async def test_a_repositorys_policy_does_not_widen_a_credential(
    admin: httpx.AsyncClient, aws: Sandbox, statement: dict[str, Any]
) -> None:
    """Such a policy gets past what a session policy leaves out, and may have been put by others than wharfinger."""
    token = (await admin.post("/v1/tokens", json=PULL)).json()
    [vend] = vends(aws)
    allowed = {"Effect": "Allow", "Action": ["ecr:BatchGetImage", "ecr:InitiateLayerUpload"]} | statement
    text = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    policy = text.replace("SESSION", vend.parameters["RoleSessionName"])
    async with sdk("ecr", aws) as ecr:
        for name in ("team/app", "other/app"):
            await ecr.set_repository_policy(repositoryName=name, policyText=policy)

    assert await reaches(aws, token["password"], "GET", "/v2/team/app/manifests/none") == 404
    assert await reaches(aws, token["password"], "POST", "/v2/team/app/blobs/uploads/") == 403
    assert await reaches(aws, token["password"], "GET", "/v2/other/app/manifests/none") == 403
    assert await reaches(aws, token["password"], "POST", "/v2/other/app/blobs/uploads/") == 403


@only_sqlite
async def test_three_forms_of_the_same_credential(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    token = await admin.post("/v1/tokens", json=PULL)
    bare = await admin.post("/v1/tokens", json=PULL, headers={"Accept": "text/plain"})
    config = await admin.post("/v1/tokens", json=PULL, headers={"Accept": _CONFIG})
    password = token.json()["password"]
    assert bare.text == password + "\n"
    [(host, login)] = config.json()["auths"].items()
    assert (host, base64.b64decode(login["auth"]).decode()) == (aws.host(ACCOUNT, REGION), f"AWS:{password}")
    assert {answer.headers["Cache-Control"] for answer in (token, bare, config)} == {"no-store"}


@only_sqlite
async def test_each_is_found_by_its_operation_and_by_each_of_its_repositories(admin: httpx.AsyncClient) -> None:
    both = {"repositories": ["team/app", "other/app"], "actions": ["pull"]}
    asked = [await admin.post("/v1/tokens", json=body) for body in (both, both, PULL)]
    made = [answer.headers["Operation-Id"] for answer in asked]

    async def found(target: str) -> list[str]:
        answer = await admin.get("/v1/audit", params={"action": "token.pull", "target": target})
        return [one["id"] for one in reversed(answer.json()["items"])]

    assert await found("local/team/app") == made
    assert await found("local/other/app") == made[:2]
    assert await found("local/other/app,team/app") == made[:2]
    assert await found("local/app") == await found("local-us/team/app") == await found("local/team/ap_") == []


@only_sqlite
async def test_a_prefix_reaches_all_that_is_below_it(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    body = {"repositories": ["team/*"], "actions": ["push"]}
    password = (await admin.post("/v1/tokens", json=body)).json()["password"]
    for name in ("team/later/app", "team-b/app", "team"):
        (await admin.post("/v1/repositories", json={"name": name})).raise_for_status()

    uploads = {
        name: await reaches(aws, password, "POST", f"/v2/{name}/blobs/uploads/")
        for name in ("team/app", "team/later/app", "team-b/app", "team", "other/app")
    }

    assert uploads == {"team/app": 202, "team/later/app": 202, "team-b/app": 403, "team": 403, "other/app": 403}
    [row] = (await admin.get("/v1/audit", params={"action": "token.push", "target": "local/team/*"})).json()["items"]
    assert row["request"]["repositories"] == ["team/*"]


@only_sqlite
async def test_an_admin_may_ask_for_the_whole_registry(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    token = (await admin.post("/v1/tokens", json={"scope": "registry", "actions": ["pull"]})).json()
    assert await reaches(aws, token["password"], "GET", "/v2/other/app/manifests/none") == 404
    assert await reaches(aws, token["password"], "POST", "/v2/other/app/blobs/uploads/") == 403


async def test_the_row_has_the_hash_and_nothing_has_the_password(
    admin: httpx.AsyncClient, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with structlog.testing.capture_logs() as lines:
        token = (await admin.post("/v1/tokens", json=PUSH)).json()
    [row] = (await admin.get("/v1/audit?action=token.push")).json()["items"]
    assert row["result"]["sha256"] == hashlib.sha256(token["password"].encode()).hexdigest()
    assert datetime.fromisoformat(row["result"]["expires_at"]) == datetime.fromisoformat(token["expires_at"])
    assert row["request"] == {
        "scope": "repositories",
        "repositories": ["team/app"],
        "actions": ["pull", "push"],
    }
    async with database.read() as connection:
        stored = str((await connection.execute(select(operations))).all())
    assert token["password"] not in stored + str(lines) + caplog.text
