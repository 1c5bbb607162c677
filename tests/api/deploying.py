"""What tests of deployments ask for, and how: a workload of one pod, waited for to its end."""

from typing import Any

import httpx

BODY: dict[str, Any] = {"cluster": "demo", "name": "myapp", "image": "myapp:1", "port": 8080}


async def deploy(client: httpx.AsyncClient, **changes: object) -> httpx.Response:
    """Whatever comes of it."""
    return await client.post("/v1/deployments", params={"wait": "30"}, json=BODY | changes)


async def deploy_well(client: httpx.AsyncClient, **changes: object) -> httpx.Response:
    """The answer, which has to be a success."""
    answer = await deploy(client, **changes)
    assert answer.status_code == 200, answer.text
    return answer


async def deployed(client: httpx.AsyncClient, **changes: object) -> dict[str, Any]:
    """The deployment, which has to be a success."""
    return dict((await deploy_well(client, **changes)).json())
