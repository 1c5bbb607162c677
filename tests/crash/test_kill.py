"""`kill -9` in the middle of a change of each kind; after a restart, every row says what AWS has."""

import asyncio
from typing import Literal

import httpx
import pytest

from sandbox.calls import Call
from sandbox.faults import Hold
from sandbox.server import Sandbox
from tests.crash.conftest import Settle
from tests.crash.kinds import KINDS, Kind, assert_recorded, expected, prepare, statuses
from tests.service_process import ServiceProcess

_REACHED_WITHIN = 10.0
_POLL = 0.02

Step = Literal["before, and AWS never acts", "before, and AWS acts afterwards", "after AWS acted"]


@pytest.mark.parametrize("step", ["before, and AWS never acts", "before, and AWS acts afterwards", "after AWS acted"])
@pytest.mark.asyncio
async def test_after_a_kill_every_row_says_what_aws_has(
    service: ServiceProcess, secret: str, aws: Sandbox, settle: Settle, step: Step
) -> None:
    service.start()
    async with service.client(secret) as client:
        await prepare(client, aws)
        caught = [await _caught(client, aws, kind, step) for kind in KINDS]
        service.kill()
        for _, request in caught:
            with pytest.raises(httpx.TransportError):
                await request
    for hold, _ in caught:
        hold.drop() if step == "before, and AWS never acts" else hold.release()
    if step == "before, and AWS acts afterwards":
        await _acted(aws)
    service.start()
    async with service.client(secret) as client:
        rows = await settle(client)

    is_acted = step != "before, and AWS never acts"
    assert statuses(rows) == expected(is_acted=is_acted)
    assert {rows[kind.action, kind.target]["settled_by"] for kind in KINDS} == {"sweep"}
    assert_recorded(aws.calls(), {row["id"] for row in rows.values()})


async def _caught(
    client: httpx.AsyncClient, aws: Sandbox, kind: Kind, step: Step
) -> tuple[Hold, "asyncio.Task[httpx.Response]"]:
    """Send a change, and wait until AWS has it in its hands."""
    hold = aws.hold(kind.call, when="after" if step == "after AWS acted" else "before")
    method, path, body = kind.request(kind.repository)
    request = asyncio.create_task(client.request(method, path, json=body))
    assert await asyncio.to_thread(hold.reached, _REACHED_WITHIN), kind
    return hold, request


async def _acted(aws: Sandbox) -> None:
    """Wait until every call that was let go has acted."""
    async with asyncio.timeout(_REACHED_WITHIN):
        while not all(any(_is_of(call, kind) for call in aws.calls()) for kind in KINDS):  # noqa: ASYNC110 - a log
            await asyncio.sleep(_POLL)


def _is_of(call: Call, kind: Kind) -> bool:
    if call.operation != kind.call or call.status != 200:
        return False
    return kind.action.startswith("token.") or kind.is_acted_on(call.parameters)
