"""A replica that lost a rollout, or is late with it: it changes nothing any more."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import select, update
from starlette.types import ASGIApp
from structlog.testing import capture_logs

from sandbox.calls import Call
from sandbox.faults import Hold
from sandbox.server import Sandbox
from service.base.clock import running, utcnow
from service.base.db import Database
from service.base.settings import RolloutSettings, Settings
from service.base.tables import jobs
from tests.administrator import administrator
from tests.api.deploying import BODY
from tests.conftest import Connect, MakeKey, Serve
from tests.held import rollout_held
from tests.images import publish
from tests.marks import only_postgresql
from tests.sandbox.kube.api_server import DEPLOYMENTS
from tests.service.machine import Machine

pytestmark = pytest.mark.asyncio
_WITHIN = 10
_POLL = 0.01


@pytest_asyncio.fixture(autouse=True)
async def pushed(aws: Sandbox) -> None:
    await publish(aws, "myapp", "1", "2")


@pytest.fixture
def unhurried(settings: Settings) -> Settings:
    """Leases that are not looked after while a test lasts: only what is written can tell a replica that it lost one."""
    return settings.model_copy(update={"rollouts": RolloutSettings(lease=timedelta(hours=1))})


@pytest.fixture
def machine() -> Iterator[Machine]:
    """On which the service runs."""
    made = Machine()
    with running(made.boot()):
        yield made


@pytest_asyncio.fixture
async def one(unhurried: Settings, serve: Serve) -> AsyncIterator[ASGIApp]:
    async with serve(unhurried) as started:
        yield started


@dataclass(frozen=True, slots=True)
class Caught:
    """A rollout that is stopped at a call."""

    path: str
    hold: Hold
    task: asyncio.Task[Any]

    async def let_go(self) -> None:
        """Release it, and wait until nothing works on it here any more."""
        self.hold.release()
        await asyncio.wait([self.task], timeout=_WITHIN)
        assert self.task.done()


async def caught(client: httpx.AsyncClient, aws: Sandbox, call: str) -> Caught:
    """Deploy, and stop the rollout at this call, which the checks before it is accepted make as well."""
    hold, made = await rollout_held(client, aws, call, BODY)
    [task] = [task for task in asyncio.all_tasks() if task.get_name() == f"job {made.json()['id']}"]
    return Caught(made.headers["location"], hold, task)


def changes(aws: Sandbox, operation: str) -> list[Call]:
    """Changes of the cluster, dry runs aside."""
    return [one for one in aws.calls() if one.operation == operation and "dryRun" not in one.parameters]


async def test_a_replica_whose_rollout_went_to_another_takes_no_further_step(
    one: ASGIApp, connect: Connect, make_key: MakeKey, database: Database, aws: Sandbox
) -> None:
    deployer = connect(one, await make_key("deployer"))
    rollout = await caught(deployer, aws, "PATCH deployments")
    taken = {"lease_owner": "another", "lease_until": utcnow() + timedelta(hours=1), "epoch": 2}
    async with database.write() as connection:
        await connection.execute(update(jobs).values(taken))
    await rollout.let_go()
    assert changes(aws, "PATCH services") == []
    stream = await deployer.get(rollout.path)
    assert (stream.json()["status"], stream.json()["progress"]) == ("progressing", None)


async def test_a_step_whose_lease_is_not_renewed_sends_nothing_until_it_is(
    machine: Machine, deployer: httpx.AsyncClient, database: Database, aws: Sandbox
) -> None:
    rollout = await caught(deployer, aws, "GET deployments")
    with capture_logs() as lines:
        async with database.write() as connection:  # which the renewal waits for
            await connection.execute(select(jobs.c.id).with_for_update())
            machine.wait(timedelta(seconds=10))
            rollout.hold.release()
            async with asyncio.timeout(_WITHIN):
                while not changes(aws, "PATCH deployments") and "job_waits" not in {line["event"] for line in lines}:  # noqa: ASYNC110
                    await asyncio.sleep(_POLL)
            assert changes(aws, "PATCH deployments") == []
    over = await deployer.get(rollout.path, params={"wait": "20"})
    assert (over.status_code, over.json()["status"]) == (200, "succeeded"), over.text
    assert [len(changes(aws, f"PATCH {plural}")) for plural in ("deployments", "services")] == [1, 1]
    events = (await deployer.get(f"{rollout.path}/events")).text
    assert "cluster_away" not in events


@only_postgresql
async def test_a_replica_that_is_late_does_not_write_over_what_is_newer(  # noqa: PLR0917 - fixtures
    one: ASGIApp, unhurried: Settings, serve: Serve, connect: Connect, make_key: MakeKey, aws: Sandbox
) -> None:
    secret = await make_key("deployer")
    rollout = await caught(connect(one, secret), aws, "GET deployments")
    async with serve(unhurried) as other:
        newer = await connect(other, secret).post(
            "/v1/deployments", params={"wait": "30"}, json=BODY | {"image": "myapp:2"}
        )
        assert newer.status_code == 200, newer.text
    await rollout.let_go()
    assert len(changes(aws, "PATCH deployments")) == 1
    async with administrator(aws) as kube:
        running = (await kube.get(f"{DEPLOYMENTS}/myapp")).json()
    assert running["spec"]["template"]["spec"]["containers"][0]["image"] == newer.json()["image_uri"]
    older = (await connect(one, secret).get(rollout.path)).json()
    assert (older["status"], older["superseded_by"], older["reason"]) == ("superseded", newer.json()["id"], None)
