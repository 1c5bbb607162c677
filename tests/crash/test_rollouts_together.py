"""Two replicas that are asked for the same target at once."""

import asyncio
from typing import Any

import httpx
import pytest

from sandbox.server import Sandbox
from tests.administrator import administrator
from tests.images import publish
from tests.marks import only_postgresql
from tests.sandbox.kube.api_server import DEPLOYMENTS
from tests.service_process import ServiceProcess

_MANY = 20
_TAGS = ("1", "2", "3")
BODY: dict[str, Any] = {"cluster": "demo", "name": "myapp", "port": 8080}


@only_postgresql
@pytest.mark.asyncio
async def test_of_twenty_deploys_by_two_replicas_the_last_accepted_runs(
    service: ServiceProcess, replica: ServiceProcess, secret: str, aws: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Twenty at once are checked by one stand-in: the short deadline of the other tests is too short on a busy machine.
    monkeypatch.setenv("WHARFINGER__DEADLINES__REQUEST", "PT25S")
    await publish(aws, "myapp", *_TAGS)
    service.start()
    replica.start()
    async with service.client(secret) as one, replica.client(secret) as other:
        asked = [BODY | {"image": f"myapp:{_TAGS[number % len(_TAGS)]}"} for number in range(_MANY)]
        made = await asyncio.gather(
            *(client.post("/v1/deployments", json=body) for body, client in zip(asked, (one, other) * 10, strict=True))
        )
        assert {answer.status_code for answer in made} == {202}, [answer.text for answer in made]
        over = [await _ended(other, answer.headers["location"]) for answer in made]
        trail = (await one.get("/v1/audit", params={"limit": 1000})).json()["items"]
    last = max(over, key=lambda found: found["generation"])
    assert sorted(found["generation"] for found in over) == list(range(1, _MANY + 1))
    assert last["status"] == "succeeded"
    # One that was done before the next was accepted has succeeded as well, and is not what runs.
    assert {found["status"] for found in over} <= {"succeeded", "superseded"}
    assert [row["action"] for row in trail].count("deployment.create") == _MANY
    assert [row for row in trail if not row["completed_at"]] == []
    async with administrator(aws) as kube:
        running = (await kube.get(f"{DEPLOYMENTS}/myapp")).json()
    assert running["spec"]["template"]["spec"]["containers"][0]["image"] == last["image_uri"]
    assert running["metadata"]["annotations"]["wharfinger.dev/generation"] == str(_MANY)


async def _ended(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    await client.get(path, params={"wait": "25"})
    return dict((await client.get(path)).json())
