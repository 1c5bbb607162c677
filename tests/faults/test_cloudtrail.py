"""Where the state of things can't tell whether a change was made, CloudTrail does, minutes later."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import httpx
import pytest
import pytest_asyncio

from sandbox.clock import CLOCK
from sandbox.server import Sandbox
from service.base.clock import running
from service.base.settings import Settings
from service.iam.templates import cross_account_pull
from tests.conftest import Connect, MakeKey, Serve
from tests.marks import only_sqlite
from tests.sandbox.clients import sdk
from tests.service.machine import Machine

pytestmark = [pytest.mark.asyncio, only_sqlite]

POLICY = "/v1/policies/repositories/app"
KEY = {"Idempotency-Key": "build-1"}
OURS, THEIRS = cross_account_pull(["111111111111"]), cross_account_pull(["222222222222"])
A_MINUTE = timedelta(minutes=1)
_SWEPT_WITHIN = 30.0


@dataclass(slots=True)
class Trail:
    """The audit trail, with time in the hands of the test."""

    client: httpx.AsyncClient
    machine: Machine
    aws: Sandbox

    async def stays_open(self, *, minutes: int) -> None:
        for _ in range(minutes * 2):
            await self._let_pass(A_MINUTE / 2)
            assert await self._rows("pending")

    async def settled(self) -> tuple[dict[str, Any], timedelta]:
        """The row of the policy with its outcome, and the time after which it has it."""
        passed = timedelta(0)
        async with asyncio.timeout(_SWEPT_WITHIN):
            while await self._rows("pending"):
                await self._let_pass(A_MINUTE / 2)
                passed += A_MINUTE / 2
        return (await self._rows("succeeded") + await self._rows("unknown"))[0], passed

    async def _let_pass(self, time: timedelta) -> None:
        self.machine.wait(time)
        await asyncio.sleep(0.05)  # for a sweep or two

    async def _rows(self, status: str) -> list[dict[str, Any]]:
        query = {"action": "policy.put", "status": status}
        return list((await self.client.get("/v1/audit", params=query)).raise_for_status().json()["items"])


@pytest_asyncio.fixture
async def trail(
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey, aws: Sandbox
) -> AsyncIterator[Trail]:
    machine = Machine()
    spans = {"sweep_interval": timedelta(milliseconds=20), "cloudtrail": 20 * A_MINUTE}
    deadlines = settings.deadlines.model_copy(update=spans)
    with running(machine.boot()):
        async with serve(settings.model_copy(update={"deadlines": deadlines, "clusters": ()})) as app:
            yield Trail(connect(app, await make_key("admin")), machine, aws)


async def lose(trail: Trail, when: Literal["before", "after"]) -> None:
    """A policy's answer is lost, and somebody else puts another one."""
    (await trail.client.post("/v1/repositories", json={"name": "app"})).raise_for_status()
    trail.aws.fault("SetRepositoryPolicy", "reset", when=when)
    assert (await trail.client.put(POLICY, json=OURS, headers=KEY)).status_code == 503
    async with sdk("ecr", trail.aws) as ecr:
        await ecr.set_repository_policy(repositoryName="app", policyText=json.dumps(THEIRS))


async def test_its_event_shows_that_a_change_was_made_before_somebody_elses(trail: Trail) -> None:
    await lose(trail, "after")
    await trail.stays_open(minutes=4)
    CLOCK.advance(6 * A_MINUTE)
    row, _ = await trail.settled()
    assert (row["status"], row["settled_by"]) == ("succeeded", "sweep")
    assert "CloudTrail's event" in row["note"]
    again = await trail.client.put(POLICY, json=OURS, headers=KEY)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert (await trail.client.get(POLICY)).json()["Statement"] == THEIRS["Statement"]


async def test_without_an_event_it_is_unknown_in_the_end(trail: Trail) -> None:
    await lose(trail, "before")
    row, passed = await trail.settled()
    assert row["status"] == "unknown"
    assert passed > 10 * A_MINUTE
    again = await trail.client.put(POLICY, json=OURS, headers=KEY)
    assert (again.status_code, again.json()["code"]) == (409, "outcome_undetermined")
