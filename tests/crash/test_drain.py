"""SIGTERM: requests in flight finish, and nothing is half recorded."""

import asyncio
import signal
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from sandbox.server import Sandbox
from tests.conftest import process_settings
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


@only_sqlite
@pytest.mark.asyncio
async def test_what_is_not_over_in_time_is_answered_all_the_same(
    aws: Sandbox, database_url: str, tmp_path: Path, secret: str
) -> None:
    hasty = process_settings(aws, database_url).replace("[deadlines]", '[deadlines]\ndrain = "PT1S"')
    service = ServiceProcess(tmp_path, hasty.replace('request = "PT4S"', 'request = "PT1M"'))
    try:
        service.start()
        async with service.client(secret) as client:
            (await client.get("/v1/registries/local")).raise_for_status()
            holds = [aws.hold("DescribeRepositories"), aws.hold("CreateRepository")]
            requests = [
                asyncio.create_task(client.get("/v1/repositories")),
                asyncio.create_task(client.post("/v1/repositories", json={"name": "team/app"})),
            ]
            for hold in holds:
                assert await asyncio.to_thread(hold.reached, 10)
            service.tell(signal.SIGTERM)
            read, change = await asyncio.gather(*requests)
            for hold in holds:
                hold.release()
        assert await asyncio.to_thread(service.wait) in (0, -signal.SIGTERM)
    finally:
        service.stop()
    assert (read.status_code, read.json()["code"], read.json()["retryable"]) == (503, "shutting_down", True)
    assert (change.status_code, change.json()["code"], change.json()["retryable"]) == (503, "outcome_unknown", False)
    assert read.headers["Retry-After"]
    assert change.headers["Retry-After"]


@only_sqlite
@pytest.mark.asyncio
async def test_a_body_that_does_not_come_holds_nobody_up(
    aws: Sandbox, database_url: str, tmp_path: Path, secret: str
) -> None:
    patient = '[deadlines]\nbody = "PT1S"\ndrain = "PT10M"'
    settings = process_settings(aws, database_url).replace("[deadlines]", patient)
    service = ServiceProcess(tmp_path, settings.replace('request = "PT4S"', 'request = "PT10M"'))
    try:
        service.start()
        at = urlsplit(service.url)
        _, writer = await asyncio.open_connection(at.hostname, at.port)
        head = f"POST /v1/repositories HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\nContent-Length: 99\r\n"
        writer.write(f"{head}\r\n".encode() + b'{"name": ')
        await writer.drain()
        service.tell(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await asyncio.to_thread(service.wait) in (0, -signal.SIGTERM)
        writer.close()
    finally:
        service.stop()


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
