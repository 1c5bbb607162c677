"""Waiting for what the sweep does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

_SETTLED_WITHIN = 20.0
_POLL = 0.05

Entries = dict[tuple[str, str], dict[str, Any]]
"""Rows of the audit trail by action and target."""


Settle = Callable[[httpx.AsyncClient], Awaitable[Entries]]


@pytest.fixture
def settle() -> Settle:
    """Waits until no row of the trail is open, and gives them all."""

    async def wait(client: httpx.AsyncClient) -> Entries:
        async with asyncio.timeout(_SETTLED_WITHIN):
            while True:
                rows = (await client.get("/v1/audit", params={"limit": 1000})).raise_for_status().json()["items"]
                if all(row["completed_at"] for row in rows):
                    return {(row["action"], row["target"]): row for row in rows}
                await asyncio.sleep(_POLL)

    return wait
