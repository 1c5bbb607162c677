"""Docker credentials: as wide as asked and no wider, recorded and never kept."""

import asyncio
import base64
import hashlib
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
import structlog
from pydantic import SecretStr
from sqlalchemy import select
from starlette.types import ASGIApp

from sandbox.server import Sandbox
from service.access.actions import Role
from service.base.clock import running
from service.base.db import Database
from service.base.settings import Settings
from service.base.tables import operations
from tests.conftest import ACCOUNT, REGION, Connect, MakeKey, Serve
from tests.marks import only_sqlite
from tests.sandbox.clients import sdk
from tests.service.machine import Machine

pytestmark = pytest.mark.asyncio

_PULL = {"repositories": ["team/app"], "actions": ["pull"]}
_PUSH = {"repositories": ["team/app"], "actions": ["pull", "push"]}
_CONFIG = "application/vnd.docker.config+json"


def vends(aws: Sandbox) -> list[Any]:
    """The calls by which a broker session was made."""
    calls = aws.calls()
    return [call for call in calls if call.operation == "AssumeRole" and "broker" in call.parameters["RoleArn"]]


async def reaches(aws: Sandbox, password: str, method: str, path: str) -> int:
    """How the registry answers the holder of a password."""
    async with httpx.AsyncClient(base_url=aws.endpoint(ACCOUNT, REGION), auth=("AWS", password)) as registry:
        return (await registry.request(method, path)).status_code


@pytest_asyncio.fixture(autouse=True)
async def _repositories(admin: httpx.AsyncClient) -> None:
    for name in ("team/app", "other/app"):
        (await admin.post("/v1/repositories", json={"name": name})).raise_for_status()


async def test_a_credential_reaches_what_was_asked_for_and_no_more(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    pull = (await admin.post("/v1/tokens", json=_PULL)).json()
    push = (await admin.post("/v1/tokens", json=_PUSH)).json()

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
    token = (await admin.post("/v1/tokens", json=_PULL | {"actions": actions})).json()

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
    (await admin.post("/v1/tokens", json=_PULL | {"actions": actions})).raise_for_status()

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
    token = (await admin.post("/v1/tokens", json=_PULL)).json()
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
    token = await admin.post("/v1/tokens", json=_PULL)
    bare = await admin.post("/v1/tokens", json=_PULL, headers={"Accept": "text/plain"})
    config = await admin.post("/v1/tokens", json=_PULL, headers={"Accept": _CONFIG})
    password = token.json()["password"]
    assert bare.text == password + "\n"
    [(host, login)] = config.json()["auths"].items()
    assert (host, base64.b64decode(login["auth"]).decode()) == (aws.host(ACCOUNT, REGION), f"AWS:{password}")
    assert {answer.headers["Cache-Control"] for answer in (token, bare, config)} == {"no-store"}


@only_sqlite
async def test_each_is_found_by_its_operation_and_by_each_of_its_repositories(admin: httpx.AsyncClient) -> None:
    both = {"repositories": ["team/app", "other/app"], "actions": ["pull"]}
    asked = [await admin.post("/v1/tokens", json=body) for body in (both, both, _PULL)]
    made = [answer.headers["Operation-Id"] for answer in asked]

    async def found(target: str) -> list[str]:
        answer = await admin.get("/v1/audit", params={"action": "token.pull", "target": target})
        return [one["id"] for one in reversed(answer.json()["items"])]

    assert await found("local/team/app") == made
    assert await found("local/other/app") == made[:2]
    assert await found("local/other/app,team/app") == made[:2]
    assert await found("local/app") == await found("local-us/team/app") == await found("local/team/ap_") == []


async def test_it_ends_with_its_session(admin: httpx.AsyncClient) -> None:
    token = (await admin.post("/v1/tokens", json=_PULL)).json()
    left = datetime.fromisoformat(token["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)


async def test_one_that_has_time_left_is_given_again_with_a_row_of_its_own(
    admin: httpx.AsyncClient, aws: Sandbox
) -> None:
    first = (await admin.post("/v1/tokens", json=_PULL)).json()
    again = (await admin.post("/v1/tokens", json=_PULL)).json()
    wider = (await admin.post("/v1/tokens", json=_PUSH)).json()
    assert first["password"] == again["password"] != wider["password"]
    assert len(vends(aws)) == 2
    rows = (await admin.get("/v1/audit?action=token.pull")).json()["items"]
    assert [row["result"]["from_cache"] for row in rows] == [True, False]


@only_sqlite
async def test_one_that_ends_soon_is_not_given_again(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    """It has an hour; a build that gets it may need a quarter of one."""
    machine = Machine()
    with running(machine.boot()):
        first = (await admin.post("/v1/tokens", json=_PULL)).json()
        machine.wait(timedelta(minutes=44))
        again = (await admin.post("/v1/tokens", json=_PULL)).json()
        machine.wait(timedelta(minutes=2))
        fresh = (await admin.post("/v1/tokens", json=_PULL)).json()
    assert first["password"] == again["password"] != fresh["password"]
    assert len(vends(aws)) == 2


@only_sqlite
async def test_the_external_id_is_sent_where_the_role_asks_for_one(
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey, aws: Sandbox
) -> None:
    registry = settings.registries[0].model_copy(update={"external_id": SecretStr("ours")})
    async with serve(settings.model_copy(update={"registries": (registry,), "clusters": ()})) as app:
        client = connect(app, await make_key(Role.ADMIN))
        (await client.get("/v1/repositories/team/app")).raise_for_status()
    assumed = [call.parameters for call in aws.calls() if call.operation == "AssumeRole"]
    assert assumed[-1]["ExternalId"] == "ours"
    assert "ExternalId" not in assumed[0]


@only_sqlite
async def test_two_callers_never_share_one(app: ASGIApp, connect: Connect, make_key: MakeKey, aws: Sandbox) -> None:
    one, two = [connect(app, await make_key(Role.DEVELOPER, label=f"team {number}")) for number in (1, 2)]
    passwords = {(await caller.post("/v1/tokens", json=_PULL)).json()["password"] for caller in (one, two)}
    assert len(passwords) == 2
    names = [call.parameters["RoleSessionName"] for call in vends(aws)]
    assert [name.partition("@")[0] for name in names] == ["team-1", "team-2"]


@only_sqlite
async def test_many_at_once_are_one_session(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    answers = await asyncio.gather(*(admin.post("/v1/tokens", json=_PULL) for _ in range(20)))
    assert len({answer.json()["password"] for answer in answers}) == 1
    assert len(vends(aws)) == 1
    assert len((await admin.get("/v1/audit?action=token.pull")).json()["items"]) == 20


@only_sqlite
async def test_a_repeat_with_the_same_key_is_a_new_operation(admin: httpx.AsyncClient) -> None:
    for _ in range(2):
        answer = await admin.post("/v1/tokens", json=_PULL, headers={"Idempotency-Key": "once"})
        assert answer.status_code == 200
        assert "Idempotency-Replayed" not in answer.headers
    assert len((await admin.get("/v1/audit?action=token.pull")).json()["items"]) == 2


AskAs = Callable[[Role], Awaitable[httpx.AsyncClient]]


@pytest.fixture
def ask_as(app: ASGIApp, connect: Connect, make_key: MakeKey) -> AskAs:
    """A client of someone with a role in the repositories below `team`."""

    async def make(role: Role) -> httpx.AsyncClient:
        return connect(app, await make_key(role, repository="team"))

    return make


@only_sqlite
@pytest.mark.parametrize(
    ("role", "body", "status"),
    [
        (Role.VIEWER, _PULL, 403),
        (Role.DEPLOYER, _PULL, 200),
        (Role.DEPLOYER, _PUSH, 403),
        (Role.DEVELOPER, _PUSH, 200),
        (Role.DEVELOPER, {"repositories": ["other/app"], "actions": ["pull"]}, 404),
        (Role.DEVELOPER, {"repositories": ["team/app", "other/app"], "actions": ["pull"]}, 404),
        (Role.DEVELOPER, {"scope": "registry", "actions": ["pull"]}, 403),
    ],
)
async def test_who_may_have_which(ask_as: AskAs, role: Role, body: dict[str, Any], status: int) -> None:
    caller = await ask_as(role)
    assert (await caller.post("/v1/tokens", json=body)).status_code == status


@only_sqlite
@pytest.mark.parametrize(
    ("prefix", "scope", "status"),
    [
        ("*", "team/*", 200),
        ("team", "team/*", 200),
        ("team", "team/app/*", 200),
        ("team", "teams/*", 404),
        ("team/app", "team/*", 404),
        ("team/app", "team/app/*", 200),
        ("tea", "team/*", 404),
    ],
)
async def test_a_prefix_is_vended_within_the_callers_binding(
    app: ASGIApp, connect: Connect, make_key: MakeKey, *, prefix: str, scope: str, status: int
) -> None:
    caller = connect(app, await make_key(Role.DEVELOPER, repository=prefix))
    assert (await caller.post("/v1/tokens", json={"repositories": [scope], "actions": ["pull"]})).status_code == status


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


@only_sqlite
@pytest.mark.parametrize(
    "body",
    [
        {"repositories": [], "actions": ["pull"]},
        {"actions": ["pull"]},
        {"repositories": ["team/app"], "actions": []},
        {"repositories": ["team/app"], "actions": ["delete"]},
        {"repositories": ["team/app"], "actions": ["pull"], "scope": "registry"},
        {"repositories": ["*"], "actions": ["pull"]},
        {"repositories": ["team*"], "actions": ["pull"]},
        {"repositories": ["*/app"], "actions": ["pull"]},
        {"repositories": ["team/*/app"], "actions": ["pull"]},
        {"repositories": ["team/"], "actions": ["pull"]},
        {"repositories": ["team/app"], "actions": ["pull"], "min_seconds": 59},
        {"repositories": ["team/app"], "actions": ["pull"], "min_seconds": 3541},
        {"repositories": ["team/app"], "actions": ["pull"], "min_seconds": "900"},
        {"repositories": ["team/app"], "actions": ["pull"], "min_seconds": 900.0},
        {"repositories": [f"team/{'long' * 20}-{number}" for number in range(40)], "actions": ["pull"]},
    ],
)
async def test_what_can_not_be_narrowed_is_refused(
    admin: httpx.AsyncClient, aws: Sandbox, body: dict[str, Any]
) -> None:
    assert (await admin.post("/v1/tokens", json=body)).status_code == 422
    assert vends(aws) == []


@only_sqlite
async def test_without_a_broker_role_only_the_whole_registry_is_possible(
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey
) -> None:
    bare = [registry.model_copy(update={"broker_role": None}) for registry in settings.registries]
    async with serve(settings.model_copy(update={"registries": tuple(bare)})) as app:
        caller = connect(app, await make_key(Role.ADMIN))
        narrow = await caller.post("/v1/tokens", json=_PULL)
        wide = await caller.post("/v1/tokens", json={"scope": "registry", "actions": ["pull"]})
    assert (narrow.status_code, narrow.json()["code"]) == (409, "broker_role_missing")
    assert "broker_role" in narrow.json()["detail"]
    # And that only if wharfinger's own role may log in, which the role of deploy/iam may not.
    assert (wide.status_code, wide.json()["code"]) == (502, "aws_permission_missing")
    assert "ecr:GetAuthorizationToken" in wide.json()["detail"]


@only_sqlite
async def test_one_of_wharfingers_own_role_ends_with_its_session(
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey, aws: Sandbox
) -> None:
    login = {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": login})
    async with sdk("iam", aws) as iam:
        await iam.put_role_policy(RoleName="wharfinger", PolicyName="login", PolicyDocument=document)
    bare = [registry.model_copy(update={"broker_role": None}) for registry in settings.registries]
    async with serve(settings.model_copy(update={"registries": tuple(bare)})) as app:
        caller = connect(app, await make_key(Role.ADMIN))
        token = (await caller.post("/v1/tokens", json={"scope": "registry", "actions": ["pull"]})).json()

    assert datetime.fromisoformat(token["expires_at"]) - datetime.now(UTC) <= timedelta(hours=1)


async def test_the_row_has_the_hash_and_nothing_has_the_password(
    admin: httpx.AsyncClient, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with structlog.testing.capture_logs() as lines:
        token = (await admin.post("/v1/tokens", json=_PUSH)).json()
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
