"""A Kubernetes API server of the sandbox for one test, in process or on loopback, and objects to send it."""

import asyncio
import copy
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from sandbox.calls import Calls
from sandbox.faults import Faults
from sandbox.kube.api import KubeApi
from sandbox.kube.errors import StatusError
from sandbox.kube.identity import Grant, Identity
from sandbox.kube.kinds import NAMESPACE, SERVICE_ACCOUNT
from sandbox.kube.store import Store
from sandbox.state import State

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
SERVICES = "/api/v1/namespaces/default/services"
PODS = "/api/v1/namespaces/default/pods"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
IDENTITIES = {
    None: Identity("root", ("system:masters",), (Grant("cluster-admin", None),)),
    "editor": Identity("ed", (), (Grant("edit", ("default",)),)),
    "viewer": Identity("vi", (), (Grant("view", None),)),
}
"""By bearer token; who has none is administrator."""


def authenticate(token: str | None) -> Identity:
    if token not in IDENTITIES:
        raise StatusError(401, "Unauthorized", "Unauthorized")
    return IDENTITIES[token]


class Cluster:
    """The parts of one API server, and a client of it."""

    def __init__(self, folder: Path) -> None:
        self.state = State(folder)
        self.store = Store(self.state)
        for name in ("default", "kube-system"):
            self.store.create(NAMESPACE, {"metadata": {"name": name}})
        self.store.create(SERVICE_ACCOUNT, {"metadata": {"name": "default", "namespace": "default"}})
        self.faults = Faults()
        self.calls = Calls()
        self.app = KubeApi(self.store, authenticate, self.faults, self.calls)
        self.http = self.client()

    def client(self, token: str | None = None) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://kube.test", headers=headers)

    async def apply(self, path: str, sent: dict[str, Any], manager: str = "me", **query: str) -> httpx.Response:
        """Server-side apply to the collection's object that the body names."""
        return await self.http.patch(
            f"{path}/{sent['metadata']['name']}",
            params={"fieldManager": manager, **query},
            content=json.dumps(sent),
            headers={"Content-Type": "application/apply-patch+yaml"},
        )

    async def patch(self, path: str, patch: object, kind: str = "merge", **query: str) -> httpx.Response:
        media = {"Content-Type": f"application/{kind}-patch+json"}
        return await self.http.patch(path, params=query, content=json.dumps(patch), headers=media)


@asynccontextmanager
async def on_loopback(app: KubeApi) -> AsyncIterator[str]:
    """Serves the application on this loop; gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1))
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


def deployment(name: str = "app", **spec: object) -> dict[str, Any]:
    labels = {"app": name}
    container = {"name": "c", "image": "registry.test/app:1", "ports": [{"containerPort": 8080}]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


def service(name: str = "app", *, port: object = 80, **spec: object) -> dict[str, Any]:
    ports = port if isinstance(port, list) else [{"port": port}]
    made = {"selector": {"app": name}, "ports": ports, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": made}


def config_map(name: str = "settings", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name: str = "one", **labels: str) -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "image": "registry.test/app:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def changed(made: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy with the value at a dotted path (`spec.ports.0.port`) put in; None takes it out."""
    result = copy.deepcopy(made)
    *way, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
    place: Any = result
    for part in way:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return result
