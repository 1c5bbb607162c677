"""Reads under load: many clients through wharfinger, and the same ECR calls made by as many tasks with the AWS SDK."""

import asyncio
import time
from typing import TYPE_CHECKING

import aioboto3
from aiobotocore.config import AioConfig

from bench.load import get, requests_per_second
from bench.report import line
from bench.rig import Rig

if TYPE_CHECKING:
    from types_aiobotocore_ecr import ECRClient

_CLIENTS = 32
_SECONDS = 5.0
_ROUNDS = 3
_REPOSITORY = "arn:aws:ecr:eu-central-1:111111111111:repository/bench"


async def measure(rig: Rig) -> None:
    """`GET /v1/repositories/{name}` against the two calls that it makes, in turn; the best round of each."""
    request = get("/v1/repositories/bench", rig.key)
    ours, direct = 0.0, 0.0
    for _ in range(_ROUNDS):
        direct = max(direct, await _direct(rig))
        mine = requests_per_second("127.0.0.1", rig.service.port, request, connections=_CLIENTS, seconds=_SECONDS)
        ours = max(ours, await mine)
    line(
        f"GET /v1/repositories/{{name}} ({_CLIENTS} clients)",
        f"{ours:,.0f}/s",
        f"{direct:,.0f}/s",
        f"1/{direct / ours:.2f}",
        "what aioboto3 does, less a fifth",
    )


async def _direct(rig: Rig) -> float:
    config = AioConfig(max_pool_connections=2 * _CLIENTS)
    session = aioboto3.Session(**rig.credentials, region_name="eu-central-1")
    async with session.client("ecr", endpoint_url=rig.endpoint, config=config) as ecr:
        ends = time.perf_counter() + _SECONDS
        return sum(await asyncio.gather(*(_repeat(ecr, ends) for _ in range(_CLIENTS)))) / _SECONDS


async def _repeat(ecr: "ECRClient", ends: float) -> int:
    count = 0
    while time.perf_counter() < ends:
        described = ecr.describe_repositories(repositoryNames=["bench"])
        await asyncio.gather(described, ecr.list_tags_for_resource(resourceArn=_REPOSITORY))
        count += 1
    return count
