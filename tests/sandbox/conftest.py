"""Fixtures of the sandbox's own tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.sandbox.kube import Cluster


@pytest_asyncio.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """An API server in process, without controllers, and an administrator's client of it."""
    made = Cluster(tmp_path)
    async with made.http:
        yield made
    made.state.close()
