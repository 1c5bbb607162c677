"""What tests of the interface share beside what all share."""

from collections.abc import AsyncIterator

import httpx
import pytest_asyncio

from sandbox.server import Sandbox
from tests.administrator import administrator
from tests.api.key_requests import only_id


@pytest_asyncio.fixture
async def kube(aws: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """The cluster's administrator."""
    async with administrator(aws) as client:
        yield client


@pytest_asyncio.fixture
async def own_id(bare_admin: httpx.AsyncClient) -> str:
    """The id of the admin's own key, which is the only one."""
    return await only_id(bare_admin)


@pytest_asyncio.fixture
async def team_and_other(admin: httpx.AsyncClient) -> None:
    """The repositories `team/app` and `other/app`."""
    for name in ("team/app", "other/app"):
        (await admin.post("/v1/repositories", json={"name": name})).raise_for_status()
