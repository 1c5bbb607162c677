"""Waiting for what the sweep does, and databases that are left behind as a kill leaves them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.databases import PostgresServer, SqliteTemplate

_SETTLED_WITHIN = 20.0
_POLL = 0.05

Entries = dict[tuple[str, str], dict[str, Any]]
"""Rows of the audit trail by action and target."""


Settle = Callable[[httpx.AsyncClient], Awaitable[Entries]]


@pytest.fixture
def database_url(
    engine: str, sqlite_template: SqliteTemplate, postgres: PostgresServer, tmp_path: Path
) -> Iterator[str]:
    """A database that no other test has, before or after: whoever writes to it is killed."""
    with sqlite_template.database(tmp_path) if engine == "sqlite" else postgres.new_database() as url:
        yield url


@pytest.fixture
def settle() -> Settle:
    """Waits until no row of the trail is open, and gives them all."""

    async def wait(client: httpx.AsyncClient) -> Entries:
        async with asyncio.timeout(_SETTLED_WITHIN):
            while True:
                open_rows = (await client.get("/v1/audit?status=pending")).raise_for_status().json()["items"]
                if not open_rows:
                    rows = (await client.get("/v1/audit?limit=1000")).raise_for_status().json()["items"]
                    return {(row["action"], row["target"]): row for row in rows}
                await asyncio.sleep(_POLL)

    return wait
