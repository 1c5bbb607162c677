"""What others notice while somebody without a key sends headers without end."""

import asyncio
import statistics
import time
from contextlib import suppress

from bench.load import Connection, get
from bench.report import line
from bench.rig import Rig

_SENDERS = 8
_HEADER_BYTES = 150 * 1024 * 1024
_PIECE = b"x" * 65_536
_SECONDS = 5.0
_EVERY = 0.01
_PERCENT = 99


async def measure(rig: Rig) -> None:
    """The slowest hundredth of another caller's requests, beside a flood and without one."""
    quiet = await _slowest(rig)
    senders = [asyncio.create_task(_send(rig.service.port)) for _ in range(_SENDERS)]
    try:
        flooded = await _slowest(rig)
    finally:
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
    line(
        f"GET /v1/keys beside {_SENDERS} floods of headers, p99",
        f"{flooded:.1f} ms",
        f"{quiet:.1f} ms",
        f"{flooded - quiet:+.1f} ms",
        "+50 ms at most; before, 8 s",
    )
    line("memory after that flood", f"{rig.service.memory_mib():.0f} MiB", "", "", "under 150 MiB")


async def _slowest(rig: Rig) -> float:
    request, took = get("/v1/keys", rig.key), []
    async with Connection.open("127.0.0.1", rig.service.port) as caller:
        ends = time.perf_counter() + _SECONDS
        while time.perf_counter() < ends:
            started = time.perf_counter()
            await caller.ask(request)
            took.append(time.perf_counter() - started)
            await asyncio.sleep(_EVERY)
    return statistics.quantiles(took, n=100)[_PERCENT - 1] * 1000


async def _send(port: int) -> None:
    """One header after another, each as far as the service takes it."""
    while True:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(OSError):
            writer.write(b"GET / HTTP/1.1\r\nX-Large: ")
            for _ in range(_HEADER_BYTES // len(_PIECE)):
                writer.write(_PIECE)
                await writer.drain()
        writer.close()
