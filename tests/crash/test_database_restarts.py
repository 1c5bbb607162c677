"""A database that goes away in the middle of a rollout, and comes back."""

import asyncio
from collections.abc import Iterator

import pytest

from sandbox.server import Sandbox
from tests.api.deploying import BODY
from tests.databases import PostgresServer
from tests.held import rollout_held
from tests.images import publish
from tests.marks import only_postgresql
from tests.service_process import ServiceProcess

_WITHIN = 20.0
_POLL = 0.05


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """One of this test alone, in place of the one that is shared: it is stopped here."""
    server = PostgresServer()
    yield server
    server.close()


@only_postgresql
@pytest.mark.parametrize("call", ["PATCH deployments", "WATCH pods"])
@pytest.mark.asyncio
async def test_a_rollout_goes_on_when_the_database_is_back(
    service: ServiceProcess, postgres: PostgresServer, secret: str, aws: Sandbox, call: str
) -> None:
    await publish(aws, "myapp", "1")
    service.start()
    async with service.client(secret) as client:
        hold, made = await rollout_held(client, aws, call, BODY, within=_WITHIN)
        await asyncio.to_thread(postgres.stop)
        hold.release()
        async with asyncio.timeout(_WITHIN):
            # The log of another process: nothing here can be waited for.
            while "job_waits" not in service.log():  # noqa: ASYNC110
                await asyncio.sleep(_POLL)
        away = await client.get(made.headers["location"])
        assert (away.status_code, away.json()["code"]) == (503, "database_unavailable")
        await asyncio.to_thread(postgres.resume)
        over = await client.get(made.headers["location"], params={"wait": "20"})
        trail = (await client.get("/v1/audit")).json()["items"]
    assert (over.status_code, over.json().get("status")) == (200, "succeeded"), over.text
    steps = [one["action"] for one in trail if one["parent_id"]]
    assert sorted(steps) == ["cluster.apply_deployment", "cluster.apply_service"]
    assert {one["status"] for one in trail} == {"succeeded"}
