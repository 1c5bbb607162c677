"""What a read through wharfinger costs over asking AWS directly: one client, one request at a time, in turn."""

import asyncio
import statistics
import time

from aiobotocore.session import AioSession

from bench.load import Connection, get
from bench.report import line
from bench.rig import Rig

_ROUNDS = 300
_WARM_UP = 30
_REPOSITORY = "arn:aws:ecr:eu-central-1:111111111111:repository/bench"


async def measure(rig: Rig) -> None:
    """`GET /v1/repositories/{name}` against the two ECR calls that it makes, made with the AWS SDK; medians."""
    ours: list[float] = []
    direct: list[float] = []
    request = get("/v1/repositories/bench", rig.key)
    sdk = AioSession().create_client("ecr", "eu-central-1", endpoint_url=rig.endpoint, **rig.credentials)
    async with sdk as ecr, Connection.open("127.0.0.1", rig.service.port) as service:
        for _ in range(_ROUNDS + _WARM_UP):
            started = time.perf_counter()
            described = ecr.describe_repositories(repositoryNames=["bench"])
            await asyncio.gather(described, ecr.list_tags_for_resource(resourceArn=_REPOSITORY))
            between = time.perf_counter()
            await service.ask(request)
            ours.append(time.perf_counter() - between)
            direct.append(between - started)
    mine, theirs = statistics.median(ours[_WARM_UP:]) * 1000, statistics.median(direct[_WARM_UP:]) * 1000
    added = f"{mine - theirs:+.2f} ms"
    line("GET /v1/repositories/{name}, median", f"{mine:.2f} ms", f"{theirs:.2f} ms", added, "+2 ms at most")
