"""Fixtures of the sandbox's own tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.sandbox.kube.api_server import Cluster
from tests.sandbox.kube.live import Bench, image, running


@pytest_asyncio.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """An API server in process, without controllers, and an administrator's client of it."""
    made = Cluster(tmp_path)
    async with made.http:
        yield made
    made.state.close()


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A cluster whose registry has `app:1` and `app:2`."""
    async with running(tmp_path) as bench:
        bench.publish("1")
        bench.publish("2", image(version="2"))
        yield bench
