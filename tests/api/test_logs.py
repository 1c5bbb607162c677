"""What a process logs of its requests: JSON lines with the request's id, and nothing of what the platform asks."""

import json
from typing import Any

import httpx
import pytest

from sandbox.server import Sandbox
from tests.marks import only_sqlite
from tests.service_process import ServiceProcess

pytestmark = [only_sqlite, pytest.mark.asyncio]


def _lines(service: ServiceProcess) -> list[dict[str, Any]]:
    return [json.loads(line) for line in service.log().splitlines()]


async def test_every_line_of_a_request_has_its_id(service: ServiceProcess, secret: str, aws: Sandbox) -> None:
    service.start()
    aws.fault("DescribeRepositories", "throttle", times=9)
    headers = {"Authorization": f"Bearer {secret}"}
    async with httpx.AsyncClient(base_url=service.url, headers=headers, trust_env=False) as client:
        await client.get("/v1/repositories/team/app", headers={"X-Request-Id": "mine-1"})
        await client.get("/v1/keys", headers={"X-Request-Id": "mine-2"})
    service.terminate()
    events = {one["event"] for one in _lines(service) if one.get("request_id") == "mine-1"}
    assert events == {"aws_refused", "request"}
    [asked] = [one for one in _lines(service) if one.get("request_id") == "mine-2"]
    assert (asked["event"], asked["method"], asked["path"], asked["status"]) == ("request", "GET", "/v1/keys", 200)
    assert [one for one in _lines(service) if one["event"] == "request" and not one.get("request_id")] == []


async def test_what_the_platform_asks_all_the_time_is_not_logged(service: ServiceProcess) -> None:
    service.start()
    async with httpx.AsyncClient(base_url=service.url, trust_env=False) as client:
        for path in ("/healthz", "/readyz", "/metrics", "/v1/keys"):
            await client.get(path)
        figures = (await client.get("/metrics")).text
    service.terminate()
    assert {one["path"] for one in _lines(service) if one["event"] == "request"} == {"/v1/keys"}
    assert 'wharfinger_requests_total{method="GET",route="/healthz",status="200"}' in figures
    assert 'wharfinger_request_seconds_count{method="GET",route="/v1/keys"}' in figures
