"""What tests of the interface share beside what all share."""

from collections.abc import AsyncIterator

import httpx
import pytest_asyncio

from sandbox.server import Sandbox
from tests.administrator import administrator


@pytest_asyncio.fixture
async def kube(aws: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """The cluster's administrator."""
    async with administrator(aws) as client:
        yield client
