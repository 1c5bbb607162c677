"""AWS's answer is lost, before or after it acted: the caller is told that it is unknown, and the row is settled."""

from datetime import timedelta
from typing import Literal

import httpx
import pytest

from sandbox.server import Sandbox
from service.base.settings import Settings
from tests.conftest import Connect, MakeKey, Serve
from tests.crash.conftest import Settle
from tests.crash.kinds import KINDS, assert_recorded, expected, prepare, statuses
from tests.marks import only_sqlite
from tests.service_process import ServiceProcess

_CREATE = {"name": "team/app"}
_KEY = {"Idempotency-Key": "the-first-build"}
_EVERY_TIME = 9


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.asyncio
async def test_a_lost_answer_is_unknown_and_then_settled(
    service: ServiceProcess, secret: str, aws: Sandbox, settle: Settle, when: Literal["before", "after"]
) -> None:
    service.start()
    async with service.client(secret) as client:
        await prepare(client, aws)
        for kind in KINDS:
            aws.fault(kind.call, "reset", when=when)
            method, path, body = kind.request(kind.repository)
            answer = await client.request(method, path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (503, "outcome_unknown"), kind
            assert answer.headers["Retry-After"]
        rows = await settle(client)
    assert statuses(rows) == expected(is_acted=when == "after")
    assert_recorded(aws.calls(), {row["id"] for row in rows.values()})


@only_sqlite
@pytest.mark.asyncio
async def test_a_repeat_is_answered_by_what_was_settled(
    service: ServiceProcess, secret: str, aws: Sandbox, settle: Settle
) -> None:
    service.start()
    async with service.client(secret) as client:
        aws.fault("CreateRepository", "reset", when="after")
        lost = await client.post("/v1/repositories", json=_CREATE, headers=_KEY)
        meanwhile = await client.post("/v1/repositories", json=_CREATE, headers=_KEY)
        await settle(client)
        repeated = await client.post("/v1/repositories", json=_CREATE, headers=_KEY)
    assert (lost.status_code, meanwhile.status_code, repeated.status_code) == (503, 409, 201)
    assert meanwhile.headers["Retry-After"]
    assert repeated.headers["Idempotency-Replayed"] == "true"
    assert [call.operation for call in aws.calls()].count("CreateRepository") == 1


@only_sqlite
@pytest.mark.asyncio
async def test_a_repeat_after_a_known_failure_is_a_new_try(
    service: ServiceProcess, secret: str, aws: Sandbox, settle: Settle
) -> None:
    service.start()
    async with service.client(secret) as client:
        aws.fault("CreateRepository", "reset", when="before")
        lost = await client.post("/v1/repositories", json=_CREATE, headers=_KEY)
        await settle(client)
        repeated = await client.post("/v1/repositories", json=_CREATE, headers=_KEY)
    assert (lost.status_code, repeated.status_code) == (503, 201)
    assert "Idempotency-Replayed" not in repeated.headers


@only_sqlite
@pytest.mark.asyncio
async def test_what_a_retry_inside_the_sdk_finds_is_believed_only_with_our_tag(
    admin: httpx.AsyncClient, aws: Sandbox
) -> None:
    aws.fault("CreateRepository", "reset", when="after")
    made = await admin.post("/v1/repositories", json=_CREATE)
    again = await admin.post("/v1/repositories", json=_CREATE)
    assert (made.status_code, again.status_code) == (201, 409)
    assert [call.operation for call in aws.calls()].count("CreateRepository") == 3


@only_sqlite
@pytest.mark.parametrize(
    ("fault", "code", "status"), [("throttle", "aws_throttled", "failed"), ("error", "outcome_unknown", "pending")]
)
@pytest.mark.asyncio
async def test_aws_throttling_and_failing_is_503_and_recorded(
    admin: httpx.AsyncClient, aws: Sandbox, fault: Literal["throttle", "error"], code: str, status: str
) -> None:
    aws.fault("CreateRepository", fault, times=_EVERY_TIME)
    answer = await admin.post("/v1/repositories", json=_CREATE, headers=_KEY)
    assert (answer.status_code, answer.json()["code"]) == (503, code)
    assert answer.headers["Retry-After"]
    [row] = (await admin.get("/v1/audit?action=repository.create&status=" + status)).json()["items"]
    assert row["action"] == "repository.create"


@only_sqlite
@pytest.mark.asyncio
async def test_past_its_deadline_a_request_is_answered(
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey, aws: Sandbox
) -> None:
    impatient = settings.deadlines.model_copy(update={"request": timedelta(seconds=2)})
    async with serve(settings.model_copy(update={"deadlines": impatient})) as app:
        client = connect(app, await make_key("admin"))
        (await client.get("/v1/registries/local")).raise_for_status()
        hold = aws.hold("CreateRepository")
        answer = await client.post("/v1/repositories", json=_CREATE)
        hold.drop()
    assert (answer.status_code, answer.json()["code"]) == (503, "outcome_unknown")
