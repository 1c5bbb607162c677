"""How long a docker credential lasts, and who is given the same one again."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from pydantic import SecretStr
from starlette.types import ASGIApp

from sandbox.server import Sandbox
from service.access.actions import Role
from service.base.clock import running
from service.base.settings import Settings
from tests.api.token_requests import PULL, PUSH, vends
from tests.conftest import Connect, MakeKey, Serve
from tests.marks import only_sqlite
from tests.sandbox.clients import sdk
from tests.service.machine import Machine

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("team_and_other")]


async def test_it_ends_with_its_session(admin: httpx.AsyncClient) -> None:
    token = (await admin.post("/v1/tokens", json=PULL)).json()
    left = datetime.fromisoformat(token["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)


async def test_one_that_has_time_left_is_given_again_with_a_row_of_its_own(
    admin: httpx.AsyncClient, aws: Sandbox
) -> None:
    first = (await admin.post("/v1/tokens", json=PULL)).json()
    again = (await admin.post("/v1/tokens", json=PULL)).json()
    wider = (await admin.post("/v1/tokens", json=PUSH)).json()
    assert first["password"] == again["password"] != wider["password"]
    assert len(vends(aws)) == 2
    rows = (await admin.get("/v1/audit?action=token.pull")).json()["items"]
    assert [row["result"]["from_cache"] for row in rows] == [True, False]


@only_sqlite
async def test_one_that_ends_soon_is_not_given_again(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    """It has an hour; a build that gets it may need a quarter of one."""
    machine = Machine()
    with running(machine.boot()):
        first = (await admin.post("/v1/tokens", json=PULL)).json()
        machine.wait(timedelta(minutes=44))
        again = (await admin.post("/v1/tokens", json=PULL)).json()
        machine.wait(timedelta(minutes=2))
        fresh = (await admin.post("/v1/tokens", json=PULL)).json()
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
    passwords = {(await caller.post("/v1/tokens", json=PULL)).json()["password"] for caller in (one, two)}
    assert len(passwords) == 2
    names = [call.parameters["RoleSessionName"] for call in vends(aws)]
    assert [name.partition("@")[0] for name in names] == ["team-1", "team-2"]


@only_sqlite
async def test_many_at_once_are_one_session(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    answers = await asyncio.gather(*(admin.post("/v1/tokens", json=PULL) for _ in range(20)))
    assert len({answer.json()["password"] for answer in answers}) == 1
    assert len(vends(aws)) == 1
    assert len((await admin.get("/v1/audit?action=token.pull")).json()["items"]) == 20


@only_sqlite
async def test_a_repeat_with_the_same_key_is_a_new_operation(admin: httpx.AsyncClient) -> None:
    for _ in range(2):
        answer = await admin.post("/v1/tokens", json=PULL, headers={"Idempotency-Key": "once"})
        assert answer.status_code == 200
        assert "Idempotency-Replayed" not in answer.headers
    assert len((await admin.get("/v1/audit?action=token.pull")).json()["items"]) == 2


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
