"""`kill -9` in the middle of a rollout: a restart, or another replica, brings it to its end, once."""

import asyncio

import httpx
import pytest

from sandbox.faults import Hold, When
from sandbox.server import Sandbox
from tests.administrator import administrator
from tests.api.deploying import BODY
from tests.images import publish
from tests.marks import only_postgresql
from tests.sandbox.kube.api_server import DEPLOYMENTS, SERVICES
from tests.service_process import ServiceProcess

_REACHED_WITHIN = 10.0
_TAKEN_OVER_WITHIN = "10"
STEPS = [
    ("PATCH deployments", "before"),
    ("PATCH deployments", "after"),
    ("PATCH services", "before"),
    ("PATCH services", "after"),
    ("WATCH pods", "before"),
    ("LIST pods", "before"),
]
REMOVALS = [
    ("DELETE services", "before"),
    ("DELETE services", "after"),
    ("DELETE deployments", "before"),
    ("DELETE deployments", "after"),
]


@pytest.mark.parametrize(("call", "when"), STEPS)
@pytest.mark.asyncio
async def test_after_a_kill_a_rollout_goes_on_where_it_stood(  # noqa: PLR0917 - fixtures
    service: ServiceProcess,
    replica: ServiceProcess,
    engine: str,
    secret: str,
    aws: Sandbox,
    call: str,
    when: When,
) -> None:
    await publish(aws, "myapp", "1")
    survivor = _start(service, replica, engine)
    async with service.client(secret) as client:
        hold, path = await _caught(client, aws, call, when)
        service.kill()
    hold.drop()
    if survivor is service:
        service.start()
    async with survivor.client(secret) as client:
        over = await client.get(path, params={"wait": _TAKEN_OVER_WITHIN})
        trail = (await client.get("/v1/audit")).json()["items"]
    assert (over.status_code, over.json().get("status")) == (200, "succeeded"), over.text
    steps = [one for one in trail if one["parent_id"]]
    assert sorted(one["action"] for one in steps) == ["cluster.apply_deployment", "cluster.apply_service"]
    assert {one["status"] for one in trail} == {"succeeded"}
    # The one that was cut off is not counted: nobody had its answer.
    assert _applied(aws, "deployments") == 1
    assert _applied(aws, "services") == 1


@pytest.mark.parametrize(("call", "when"), REMOVALS)
@pytest.mark.asyncio
async def test_after_a_kill_a_removal_goes_on_where_it_stood(  # noqa: PLR0917 - fixtures
    service: ServiceProcess,
    replica: ServiceProcess,
    engine: str,
    secret: str,
    aws: Sandbox,
    call: str,
    when: When,
) -> None:
    await publish(aws, "myapp", "1")
    survivor = _start(service, replica, engine)
    async with service.client(secret) as client:
        made = await client.post("/v1/deployments", params={"wait": "30"}, json=BODY)
        hold = aws.hold(call, when=when)
        accepted = await client.delete(made.headers["location"])
        assert await asyncio.to_thread(hold.reached, _REACHED_WITHIN)
        service.kill()
    hold.drop()
    if survivor is service:
        service.start()
    async with survivor.client(secret) as client:
        over = await client.get(accepted.headers["location"], params={"wait": _TAKEN_OVER_WITHIN})
        trail = (await client.get("/v1/audit")).json()["items"]
    assert (over.status_code, over.json().get("status")) == (200, "succeeded"), over.text
    steps = [one["action"] for one in trail if one["parent_id"] == over.json()["id"]]
    assert sorted(steps) == ["cluster.delete_deployment", "cluster.delete_service"]
    assert {one["status"] for one in trail} == {"succeeded"}
    async with administrator(aws) as kube:
        assert {(await kube.get(f"{path}/myapp")).status_code for path in (DEPLOYMENTS, SERVICES)} == {404}


@only_postgresql
@pytest.mark.asyncio
async def test_a_replica_that_is_told_to_stop_hands_its_rollouts_over(
    service: ServiceProcess, replica: ServiceProcess, secret: str, aws: Sandbox
) -> None:
    await publish(aws, "myapp", "1")
    service.start()
    replica.start()
    async with service.client(secret) as client:
        made = await client.post("/v1/deployments", json=BODY | {"env": {"SANDBOX_READY_AFTER": "1"}})
    assert made.status_code == 202, made.text
    assert service.terminate() in (0, -15, 143)
    async with replica.client(secret) as client:
        over = await client.get(made.headers["location"], params={"wait": _TAKEN_OVER_WITHIN})
    assert over.status_code == 200, over.text


def _start(service: ServiceProcess, replica: ServiceProcess, engine: str) -> ServiceProcess:
    """Gives the one that is to go on: another replica, where the database serves two; else the same, restarted."""
    service.start()
    if engine != "postgresql":
        return service
    replica.start()
    return replica


async def _caught(client: httpx.AsyncClient, aws: Sandbox, call: str, when: When) -> tuple[Hold, str]:
    """Deploy, and wait until the cluster has this call of the rollout in its hands."""
    first = aws.hold(call, when=when)
    request = asyncio.create_task(client.post("/v1/deployments", json=BODY))
    assert await asyncio.to_thread(first.reached, _REACHED_WITHIN)
    if not call.startswith("PATCH"):
        return first, (await request).headers["location"]
    # That was the dry run before it is accepted; the rollout itself comes next.
    hold = aws.hold(call, when=when)
    first.release()
    made = await request
    assert await asyncio.to_thread(hold.reached, _REACHED_WITHIN)
    return hold, made.headers["location"]


def _applied(aws: Sandbox, plural: str) -> int:
    """How often the cluster was changed, dry runs aside."""
    changes = [call for call in aws.calls() if call.operation == f"PATCH {plural}" and "dryRun" not in call.parameters]
    return sum(call.status != 0 for call in changes)
