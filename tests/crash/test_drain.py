"""SIGTERM: requests in flight finish, and nothing is half recorded."""

import asyncio
import signal

import httpx
import pytest

from sandbox.server import Sandbox
from tests.marks import only_sqlite
from tests.service_process import ServiceProcess


@only_sqlite
@pytest.mark.asyncio
async def test_a_request_in_flight_finishes(service: ServiceProcess, secret: str, aws: Sandbox) -> None:
    service.start()
    async with service.client(secret) as client:
        (await client.get("/v1/registries/local")).raise_for_status()
        hold = aws.hold("CreateRepository")
        request = asyncio.create_task(client.post("/v1/repositories", json={"name": "team/app"}))
        assert await asyncio.to_thread(hold.reached, 10)
        service.tell(signal.SIGTERM)
        await _refuses(service)
        hold.release()
        assert (await request).status_code == 201
    assert await asyncio.to_thread(service.wait) in (0, -signal.SIGTERM)
    service.start()
    async with service.client(secret) as client:
        [row] = (await client.get("/v1/audit?action=repository.create")).json()["items"]
    assert (row["status"], row["settled_by"]) == ("succeeded", "request")


async def _refuses(service: ServiceProcess) -> None:
    """Wait until no new connection is taken."""
    async with asyncio.timeout(10), httpx.AsyncClient() as client:
        while True:
            try:
                await client.get(f"{service.url}/healthz")
            except httpx.ConnectError:
                return
            except httpx.TransportError:
                continue  # taken just before the listener closed, and cut with it
