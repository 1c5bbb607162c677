"""SIGSTOP in the midst of a step, past the lease: what the process read before is old by the time that it goes on."""

import signal

import pytest

from sandbox.server import Sandbox
from tests.administrator import administrator
from tests.api.deploying import BODY
from tests.held import rollout_held
from tests.images import publish
from tests.marks import only_postgresql
from tests.sandbox.kube.api_server import DEPLOYMENTS
from tests.service_process import ServiceProcess


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
        # About to be told that there is no Deployment yet: it would apply the first.
        hold, made = await rollout_held(one, aws, "GET deployments", BODY, when="after")
        path = made.headers["location"]
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


def _applied(aws: Sandbox) -> int:
    """How often the Deployment was changed, dry runs aside."""
    return sum(call.operation == "PATCH deployments" and "dryRun" not in call.parameters for call in aws.calls())
