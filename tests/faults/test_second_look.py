"""A document's change that was lost and not made: said only after two looks that found the same, ten seconds apart."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from api.app import create
from sandbox.server import Sandbox
from service.base.clock import running
from service.base.settings import Settings
from service.iam.templates import cross_account_pull
from service.operations.settlement import Settlement
from tests.conftest import Connect, MakeKey
from tests.marks import only_sqlite
from tests.opened import opened
from tests.sandbox.clients import sdk
from tests.service.machine import Machine

pytestmark = [pytest.mark.asyncio, only_sqlite]

POLICY = "/v1/policies/repositories/app"
KEY = {"Idempotency-Key": "build-1"}
BEFORE, OURS, THEIRS = (cross_account_pull([f"{digit}" * 12]) for digit in "123")


@dataclass(slots=True)
class Service:
    """A service whose time and sweeps are in the hands of the test."""

    client: httpx.AsyncClient
    settlement: Settlement
    machine: Machine
    aws: Sandbox

    async def lose(self, method: str, call: str) -> None:
        self.aws.fault(call, "reset", when="before")
        answer = await self.send(method)
        assert (answer.status_code, answer.json()["code"]) == (503, "outcome_unknown")

    async def send(self, method: str) -> httpx.Response:
        return await self.client.request(method, POLICY, json=OURS if method == "PUT" else None, headers=KEY)

    async def look_after(self, seconds: float) -> dict[str, Any]:
        """What the row of the change says after a sweep, that many seconds later."""
        self.machine.wait(timedelta(seconds=seconds))
        await self.settlement.sweep()
        rows = (await self.client.get("/v1/audit", params={"limit": 50})).raise_for_status().json()["items"]
        pending = (await self.client.get("/v1/audit", params={"status": "pending"})).raise_for_status().json()["items"]
        return dict([*pending, *(row for row in rows if row["settled_by"] == "sweep")][0])


@pytest_asyncio.fixture
async def service(settings: Settings, connect: Connect, make_key: MakeKey, aws: Sandbox) -> AsyncIterator[Service]:
    machine = Machine()
    deadlines = settings.deadlines.model_copy(update={"second_look": timedelta(seconds=10)})
    settings = settings.model_copy(update={"deadlines": deadlines, "clusters": ()})
    with running(machine.boot()):
        async with opened(create(settings), settings) as (app, container):
            client = connect(app, await make_key("admin"))
            (await client.post("/v1/repositories", json={"name": "app"})).raise_for_status()
            (await client.put(POLICY, json=BEFORE)).raise_for_status()
            yield Service(client, container.settlement, machine, aws)


@pytest.mark.parametrize(("method", "call"), [("PUT", "SetRepositoryPolicy"), ("DELETE", "DeleteRepositoryPolicy")])
async def test_two_looks_that_find_it_as_it_was_say_that_it_failed(service: Service, method: str, call: str) -> None:
    await service.lose(method, call)
    assert (await service.look_after(60))["status"] == "pending"
    assert (await service.look_after(5))["status"] == "pending"
    row = await service.look_after(6)
    assert (row["status"], row["note"]) == ("failed", "as it was before: it was not done")
    assert (await service.client.get(POLICY)).json() == BEFORE
    # A known failure frees the key: the repeat is done, and not answered from the record.
    again = await service.send(method)
    assert (again.is_success, "Idempotency-Replayed" in again.headers) == (True, False)


async def test_a_first_look_may_be_stale(service: Service) -> None:
    """AWS answered it as it was, and then as it was asked for."""
    await service.lose("PUT", "SetRepositoryPolicy")
    assert (await service.look_after(60))["status"] == "pending"
    await put_at_aws(service.aws, OURS)
    assert (await service.look_after(11))["status"] == "succeeded"
    assert (await service.send("PUT")).headers["Idempotency-Replayed"] == "true"


async def test_two_looks_that_differ_are_a_first_time_again(service: Service) -> None:
    await service.lose("PUT", "SetRepositoryPolicy")
    assert (await service.look_after(60))["status"] == "pending"
    await put_at_aws(service.aws, THEIRS)
    assert (await service.look_after(11))["status"] == "pending"
    assert (await service.look_after(11))["status"] == "unknown"
    assert (await service.client.get(POLICY)).json() == THEIRS


async def put_at_aws(aws: Sandbox, policy: dict[str, Any]) -> None:
    """Somebody else does, past the service."""
    async with sdk("ecr", aws) as ecr:
        await ecr.set_repository_policy(repositoryName="app", policyText=json.dumps(policy))
