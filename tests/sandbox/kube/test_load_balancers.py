"""Names of load balancers."""

import json

import httpx
import pytest

from sandbox.server import Sandbox
from tests.administrator import administrator
from tests.sandbox.kube.api_server import SERVICES, service

pytestmark = pytest.mark.asyncio


async def balancer(kube: httpx.AsyncClient, since: httpx.Response) -> list[dict[str, str]] | None:
    """What a Service has after the next change; None where it has no load balancer."""
    query = {"watch": "true", "timeoutSeconds": "10", "resourceVersion": since.json()["metadata"]["resourceVersion"]}
    async with kube.stream("GET", SERVICES, params=query) as changes:
        async for line in changes.aiter_lines():
            ingress: list[dict[str, str]] | None = json.loads(line)["object"]["status"]["loadBalancer"].get("ingress")
            return ingress
    raise AssertionError("nothing has changed")


async def test_a_service_has_a_load_balancers_name_for_as_long_as_it_asks_for_one(aws: Sandbox) -> None:
    async with administrator(aws) as kube:
        made = await kube.post(SERVICES, json=service("web", type="LoadBalancer"))
        assert made.status_code == 201
        [given] = await balancer(kube, made) or [{}]
        assert given["hostname"].endswith(".elb.amazonaws.com")
        headers = {"Content-Type": "application/merge-patch+json"}
        path = f"{SERVICES}/web"
        changed = await kube.patch(path, content=json.dumps({"spec": {"type": "ClusterIP"}}), headers=headers)
        assert changed.status_code == 200, changed.text
        assert await balancer(kube, changed) is None
