"""What is kept of a deployment that ended long ago."""

import asyncio
from datetime import timedelta

import pytest

from sandbox.server import Sandbox
from service.base.settings import RolloutSettings, Settings
from tests.api.deploying import BODY
from tests.conftest import Connect, MakeKey, Serve
from tests.images import publish

pytestmark = pytest.mark.asyncio


async def test_the_events_of_what_is_long_over_are_dropped_and_the_deployment_stays(
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey, aws: Sandbox
) -> None:
    await publish(aws, "myapp", "1")
    key = await make_key("deployer")
    async with serve(settings) as app:
        made = await connect(app, key).post("/v1/deployments", params={"wait": "30"}, json=BODY)
        path = made.headers["location"]
        assert "event: succeeded\n" in (await connect(app, key).get(f"{path}/events")).text
    rollouts = RolloutSettings(keep=timedelta(microseconds=1))
    # The cleaning begins with the process, and comes again every hour.
    async with serve(settings.model_copy(update={"rollouts": rollouts})) as app, asyncio.timeout(10):
        client = connect(app, key)
        while "event:" in (await client.get(f"{path}/events")).text:
            pass
        assert (await client.get(path)).json() == made.json()
