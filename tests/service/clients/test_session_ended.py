"""A session of the registry's role that AWS ends before this machine's clock says so, as its own is ahead of ours."""

from datetime import timedelta

import httpx
import pytest

from sandbox.server import Sandbox
from tests.api.test_deployments import deploy
from tests.images import publish
from tests.marks import only_sqlite

pytestmark = [pytest.mark.asyncio, only_sqlite]
LONGER_THAN_A_SESSION = timedelta(hours=1, minutes=1)


def sessions(aws: Sandbox) -> int:
    """How often the registry's role was assumed."""
    roles = [call.parameters["RoleArn"] for call in aws.calls() if call.operation == "AssumeRole"]
    return sum(role.endswith(":role/wharfinger") for role in roles)


async def test_what_a_request_needs_is_asked_again_with_another(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    assert (await admin.post("/v1/repositories", json={"name": "team/app"})).status_code == 201
    before = sessions(aws)
    aws.advance(LONGER_THAN_A_SESSION)

    read = await admin.get("/v1/repositories/team/app")
    changed = await admin.patch("/v1/repositories/team/app", json={"scan_on_push": False})
    vended = await admin.post("/v1/tokens", json={"repositories": ["team/app"], "actions": ["pull"]})

    assert (read.status_code, changed.status_code, vended.status_code) == (200, 200, 200)
    assert sessions(aws) == before + 1


async def test_a_change_that_finds_it_ended_is_made_once(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    assert (await admin.get("/v1/repositories")).status_code == 200
    aws.advance(LONGER_THAN_A_SESSION)

    assert (await admin.post("/v1/repositories", json={"name": "team/app"})).status_code == 201

    [row] = (await admin.get("/v1/audit?action=repository.create")).json()["items"]
    assert row["status"] == "succeeded"


async def test_a_cluster_is_got_into_with_another(deployer: httpx.AsyncClient, aws: Sandbox) -> None:
    await publish(aws, "myapp", "1")
    assert (await deploy(deployer)).status_code == 200
    aws.advance(LONGER_THAN_A_SESSION)

    again = await deploy(deployer, replicas=2)

    assert again.status_code == 200, again.text
