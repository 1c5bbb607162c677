"""What becomes of the values that deployments have in their environment."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import select, update

from sandbox.server import Sandbox
from service.base.db import Database
from service.base.settings import RolloutSettings, Settings
from service.base.tables import deployments
from tests.administrator import administrator
from tests.api.deploying import BODY
from tests.conftest import Serve
from tests.images import publish
from tests.sandbox.kube.api_server import DEPLOYMENTS
from tests.service_process import ServiceProcess

pytestmark = pytest.mark.asyncio
SECRET = {"PASSWORD": "hunter2"}
Holding = Callable[[], Awaitable[list[int]]]


@pytest_asyncio.fixture(autouse=True)
async def pushed(aws: Sandbox) -> None:
    await publish(aws, "myapp", "1")


@pytest.fixture
def holding(database: Database) -> Holding:
    """Gives the generations whose rows have the secret in them."""

    async def look() -> list[int]:
        rows = await database.fetch(select(deployments).order_by(deployments.c.generation))
        return [row.generation for row in rows if "hunter2" in json.dumps(row._asdict(), default=str)]

    return look


async def deploy(client: httpx.AsyncClient, status: int = 200, **changes: object) -> dict[str, Any]:
    answer = await client.post("/v1/deployments", params={"wait": "30"}, json=BODY | changes)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


async def test_what_failed_keeps_the_names_alone(deployer: httpx.AsyncClient, holding: Holding) -> None:
    await deploy(deployer, env=SECRET)
    failed = await deploy(deployer, 409, env=SECRET | {"SANDBOX_EXIT": "1"})
    assert await holding() == [1]
    assert failed["deployment"]["spec"]["env"] == {}
    assert failed["deployment"]["spec"]["forgotten_env"] == ["PASSWORD", "SANDBOX_EXIT"]


async def test_what_was_superseded_or_cancelled_keeps_the_names_alone(
    deployer: httpx.AsyncClient, holding: Holding
) -> None:
    slow = BODY | {"env": SECRET | {"SANDBOX_READY_AFTER": "never"}}
    await deployer.post("/v1/deployments", json=slow)
    second = await deployer.post("/v1/deployments", json=slow)
    assert await holding() == [2]
    (await deployer.post(f"{second.headers['location']}/cancel")).raise_for_status()
    assert await holding() == []


async def test_a_removal_does_not_carry_the_values_on(deployer: httpx.AsyncClient, holding: Holding) -> None:
    made = await deploy(deployer, env=SECRET)
    (await deployer.delete(f"/v1/deployments/{made['id']}", params={"wait": "30"})).raise_for_status()
    assert await holding() == [1]


async def test_a_rollback_has_the_values_of_the_newest_successes_and_no_others(
    deployer: httpx.AsyncClient, holding: Holding, aws: Sandbox
) -> None:
    made = [await deploy(deployer, env=SECRET) for _ in range(11)]
    assert await holding() == list(range(2, 12))
    last, oldest, second = (made[number]["id"] for number in (-1, 0, 1))
    gone = await deployer.post(f"/v1/deployments/{last}/rollback", json={"to": oldest})
    assert (gone.status_code, gone.json()["code"]) == (409, "environment_forgotten")
    back = await deployer.post(f"/v1/deployments/{last}/rollback", params={"wait": "30"}, json={"to": second})
    assert back.status_code == 200, back.text
    async with administrator(aws) as kube:
        [container] = (await kube.get(f"{DEPLOYMENTS}/myapp")).json()["spec"]["template"]["spec"]["containers"]
    assert container["env"] == [{"name": "PASSWORD", "value": "hunter2"}]


async def test_what_was_removed_long_ago_and_what_an_older_version_left_is_dropped(
    settings: Settings, serve: Serve, deployer: httpx.AsyncClient, holding: Holding, database: Database
) -> None:
    made = await deploy(deployer, env=SECRET)
    removed = await deployer.delete(f"/v1/deployments/{made['id']}", params={"wait": "30"})
    assert removed.status_code == 200
    await deploy(deployer, 409, name="other", env={"SANDBOX_EXIT": "1"})
    async with database.write() as connection:
        left = update(deployments).where(deployments.c.name == "other")
        spec = BODY | {"name": "other", "env": SECRET}
        await connection.execute(left.values(spec=spec, keeps_values=None))
    assert await holding() == [1, 1]
    rollouts = RolloutSettings(keep=timedelta(microseconds=1))
    async with serve(settings.model_copy(update={"rollouts": rollouts})), asyncio.timeout(10):
        while await holding():
            pass


async def test_values_are_not_logged_whatever_the_level(
    service: ServiceProcess, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHARFINGER__LOG_LEVEL", "debug")
    # So many lines take their time on a busy machine.
    monkeypatch.setenv("WHARFINGER__DEADLINES__REQUEST", "PT30S")
    service.start()
    async with service.client(secret) as client:
        await deploy(client, env=SECRET)
        await client.get("/v1/deployments")
    service.terminate()
    assert "hunter2" not in service.log()
