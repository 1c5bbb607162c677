"""Cached token vending, one durable row each, against a bare Starlette route on the same server."""

from bench.load import post, requests_per_second
from bench.report import line
from bench.rig import Rig, process

_CONNECTIONS = 32
_SECONDS = 5.0
_ROUNDS = 3
_BODY = '{"repositories":["bench"],"actions":["pull"]}'


async def measure(rig: Rig) -> None:
    """The best round of each: noise on a shared machine only ever slows."""
    request = post("/v1/tokens", rig.key, _BODY)
    with process(
        "-m", "uvicorn", "bench.bare:app", "--port", "{port}", "--log-level", "error", "--no-access-log", path="/"
    ) as bare:
        ours, reference = 0.0, 0.0
        for _ in range(_ROUNDS):
            reference = max(reference, await _load(bare.port, post("/", rig.key, _BODY)))
            ours = max(ours, await _load(rig.service.port, request))
    line(
        f"cached token vends ({_CONNECTIONS} connections)",
        f"{ours:,.0f}/s",
        f"{reference:,.0f}/s",
        f"1/{reference / ours:.1f}",
        "1/8, better 1/4 of bare Starlette",
    )
    line("memory after that load", f"{rig.service.memory_mib():.0f} MiB", "", "", "under 150 MiB")


async def _load(port: int, request: bytes) -> float:
    return await requests_per_second("127.0.0.1", port, request, connections=_CONNECTIONS, seconds=_SECONDS)
