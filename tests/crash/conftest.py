"""A service process against the stand-in for AWS, on a database of each engine."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from sandbox.server import Sandbox
from service.authz import Role
from tests.conftest import ACCOUNT, REGION, MakeKey
from tests.service_process import ServiceProcess

_SETTINGS = """
[database]
url = "{url}"

[deadlines]
request = "PT4S"
aws_attempts = 1
settle_grace = "PT0.3S"
sweep_interval = "PT0.2S"

[[registries]]
name = "local"
account_id = "{account}"
region = "{region}"
role = "arn:aws:iam::{account}:role/wharfinger"
broker_role = "arn:aws:iam::{account}:role/wharfinger-broker"
endpoint = "{endpoint}"
"""
_SETTLED_WITHIN = 20.0
_POLL = 0.05

Entries = dict[tuple[str, str], dict[str, Any]]
"""Rows of the audit trail by action and target."""


@pytest.fixture
def service(aws: Sandbox, database_url: str, tmp_path: Path) -> Iterator[ServiceProcess]:
    settings = _SETTINGS.format(
        url=database_url, account=ACCOUNT, region=REGION, endpoint=aws.endpoint(ACCOUNT, REGION)
    )
    process = ServiceProcess(tmp_path, settings)
    yield process
    process.stop()


@pytest_asyncio.fixture
async def secret(make_key: MakeKey) -> str:
    return await make_key(Role.ADMIN)


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
