"""SIGSTOP in the midst of a step, past the lease: what the process read before is old by the time that it goes on."""

import asyncio
import signal
from typing import Any

import httpx
import pytest

from sandbox.faults import Hold
from sandbox.server import Sandbox
from tests.administrator import administrator
from tests.images import publish
from tests.marks import only_postgresql
from tests.sandbox.kube.api_server import DEPLOYMENTS
from tests.service_process import ServiceProcess

_WITHIN = 10.0
BODY: dict[str, Any] = {"cluster": "demo", "name": "myapp", "image": "myapp:1", "port": 8080}


@only_postgresql
@pytest.mark.asyncio
async def test_a_replica_that_was_stopped_past_its_lease_sends_nothing_of_its_step(
    service: ServiceProcess, replica: ServiceProcess, secret: str, aws: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHARFINGER__ROLLOUTS__LEASE", "PT2S")
    await publish(aws, "myapp", "1", "2")
    service.start()
    replica.start()
    async with service.client(secret) as one, replica.client(secret) as other:
        hold, path = await _read_and_not_applied(one, aws)
        service.tell(signal.SIGSTOP)
        taken_over = await other.get(path, params={"wait": "10"})
        newer = await other.post("/v1/deployments", params={"wait": "10"}, json=BODY | {"image": "myapp:2"})
        hold.release()
        service.tell(signal.SIGCONT)
        assert (await one.get(path)).json()["status"] == "succeeded"
    assert service.terminate() in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
    assert (taken_over.status_code, newer.status_code) == (200, 200), (taken_over.text, newer.text)
    assert _applied(aws) == 2
    async with administrator(aws) as kube:
        running = (await kube.get(f"{DEPLOYMENTS}/myapp")).json()
    assert running["spec"]["template"]["spec"]["containers"][0]["image"] == newer.json()["image_uri"]


async def _read_and_not_applied(client: httpx.AsyncClient, aws: Sandbox) -> tuple[Hold, str]:
    """Deploy, until the rollout is about to be told that there is no Deployment yet: it would apply the first."""
    dry_run = aws.hold("PATCH deployments")
    request = asyncio.create_task(client.post("/v1/deployments", json=BODY))
    assert await asyncio.to_thread(dry_run.reached, _WITHIN)
    hold = aws.hold("GET deployments", when="after")
    dry_run.release()
    made = await request
    assert await asyncio.to_thread(hold.reached, _WITHIN)
    return hold, made.headers["location"]


def _applied(aws: Sandbox) -> int:
    """How often the Deployment was changed, dry runs aside."""
    return sum(call.operation == "PATCH deployments" and "dryRun" not in call.parameters for call in aws.calls())
