"""Deployments as a kind of job: what is seen and asked at `/v1/jobs`, and what an upgrade finds that knew no jobs."""

import asyncio

import httpx
import pytest
import pytest_asyncio
from alembic import command
from sqlalchemy import Connection, select, update

from sandbox.server import Sandbox
from service.base.clock import utcnow
from service.base.db import Database
from service.base.migrate import migrate
from service.base.revisions import config
from service.base.settings import Settings
from service.base.tables import jobs
from tests.api.deploying import BODY
from tests.conftest import Connect, MakeKey, Serve
from tests.held import rollout_held
from tests.images import publish

pytestmark = pytest.mark.asyncio
_WITHIN = 10


@pytest_asyncio.fixture(autouse=True)
async def pushed(aws: Sandbox) -> None:
    await publish(aws, "myapp", "1")


async def followed(client: httpx.AsyncClient, ready_after: str) -> str:
    """A deployment whose pods are waited for, with all else done; gives its id."""
    made = await client.post("/v1/deployments", json=BODY | {"env": {"SANDBOX_READY_AFTER": ready_after}})
    async with asyncio.timeout(_WITHIN):
        while ((await client.get(made.headers["location"])).json()["progress"] or {}).get("updated") != 1:
            pass
    return str(made.json()["id"])


async def test_who_cancels_the_job_cancels_the_deployment_and_it_is_not_done_again(
    deployer: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    made = await followed(deployer, "600")
    job = (await deployer.get(f"/v1/jobs/{made}")).json()
    assert (job["kind"], job["key"], job["state"]) == ("rollout", "demo/default/myapp", "running")
    ended = await deployer.post(f"/v1/jobs/{made}/cancel")
    assert (ended.status_code, ended.json().get("state")) == (200, "cancelled"), ended.text
    assert (await deployer.get(f"/v1/deployments/{made}")).json()["status"] == "cancelled"
    assert "event: cancelled\n" in (await deployer.get(f"/v1/deployments/{made}/events")).text
    refused = await admin.post(f"/v1/jobs/{made}/retry")
    assert (refused.status_code, refused.json()["code"]) == (409, "job_not_repeatable"), refused.text


async def test_a_rollout_that_is_asked_to_end_amid_a_step_is_cancelled_and_no_defect(
    deployer: httpx.AsyncClient, aws: Sandbox, database: Database
) -> None:
    hold, made = await rollout_held(deployer, aws, "PATCH deployments", BODY)
    async with database.write() as connection:
        # As a replica does that does not know the kind; else it would be ended at once.
        await connection.execute(update(jobs).values(cancel_requested_at=utcnow()))
    for _ in range(2):
        await _renewed(database)
    hold.release()
    over = await deployer.get(made.headers["location"], params={"wait": "30"})
    assert over.json()["code"] == "deployment_cancelled", over.text


async def _renewed(database: Database) -> None:
    """The leases of all jobs, from now on."""
    leases = select(jobs.c.lease_until)
    before = await database.fetch(leases)
    async with asyncio.timeout(_WITHIN):
        while await database.fetch(leases) == before:
            pass


async def test_what_was_unfinished_at_the_upgrade_goes_on(
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey, database: Database
) -> None:
    secret = await make_key("deployer")
    async with serve(settings) as app:
        made = await followed(connect(app, secret), "4")
    async with database.write() as connection:
        await connection.run_sync(_to_the_version_before)
    await migrate(database)
    async with serve(settings) as app:
        client = connect(app, secret)
        over = await client.get(f"/v1/deployments/{made}", params={"wait": "30"})
        stream = (await client.get(f"/v1/deployments/{made}/events")).text
        job = (await client.get(f"/v1/jobs/{made}")).json()
        steps = [one["action"] for one in (await client.get("/v1/audit")).json()["items"] if one["parent_id"] == made]
    assert (over.status_code, over.json()["status"]) == (200, "succeeded"), over.text
    numbers = [int(line.removeprefix("id: ")) for line in stream.splitlines() if line.startswith("id: ")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert (stream.count("event: accepted\n"), stream.count("event: succeeded\n")) == (1, 1)
    assert (job["kind"], job["state"]) == ("rollout", "succeeded")
    assert sorted(steps) == ["cluster.apply_deployment", "cluster.apply_service"]


def _to_the_version_before(connection: Connection) -> None:
    command.downgrade(config(connection), "0006")
