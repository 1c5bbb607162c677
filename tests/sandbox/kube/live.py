"""A running cluster of which a test sees the store, and the objects that tests put there."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sandbox.aws.ecr import images, repositories
from sandbox.aws.ecr.registry import Registry
from sandbox.aws.identities import Identities
from sandbox.calls import Calls
from sandbox.clock import CLOCK
from sandbox.faults import Faults
from sandbox.kube.cluster import Cluster
from sandbox.kube.conditions import condition
from sandbox.kube.kinds import DEPLOYMENT, POD, Kind
from sandbox.kube.store import Object, Store
from sandbox.places import MAIN_ACCOUNT, MAIN_REGION, Hosts, Place
from sandbox.state import State
from sandbox.story.image_writer import Image, ImageConfig, Index, Platform, build_image, build_layer

_PLACE = Place(MAIN_ACCOUNT, MAIN_REGION)
_HOSTS = Hosts({_PLACE: 5000})
REGISTRY = _HOSTS.of(_PLACE)
IMAGE = f"{REGISTRY}/app"
_PATIENCE = 20.0
"""Seconds after which a test fails that waits for what does not come."""

Check = Callable[[], Any]


class Bench:
    """A running cluster of which the test sees the store."""

    def __init__(self, state: State, store: Store) -> None:
        self.store = store
        self.registry = Registry(state, _PLACE, _HOSTS.of(_PLACE), _HOSTS.layers)

    async def until(self, check: Check) -> Any:  # noqa: ANN401 - gives what the check gives
        """Look again after each change until the check gives something."""
        async with asyncio.timeout(_PATIENCE):
            if found := check():
                return found
            async for _ in self.store.watch(self.store.revision):
                if found := check():
                    return found
        raise AssertionError("a watch does not end")

    def publish(self, tag: str, target: Image | Index | None = None) -> None:
        """Have an image in the registry, as a push does."""
        target = target or image()
        name = "app"
        if not self.registry.state.one("SELECT 1 FROM repositories WHERE name = ?", name):
            repositories.create_repository(self.registry, {"repositoryName": name})
        repository = self.registry.repository(name)
        for one in target.images if isinstance(target, Index) else (target,):
            for blob in one.blobs:
                self.registry.state.blob(blob.digest).write_bytes(blob.content)
                self.registry.state.sql.execute(
                    "INSERT OR REPLACE INTO layers VALUES (?, ?, ?)", (repository["id"], blob.digest, len(blob.content))
                )
            self._store_manifest(one.manifest.content, tag=None if one is not target else tag)
        if isinstance(target, Index):
            self._store_manifest(target.manifest.content, tag=tag)

    def _store_manifest(self, content: bytes, *, tag: str | None) -> None:
        repository = self.registry.repository("app")
        images.store(self.registry, repository, content, media_type=None, tag=tag, digest=None)

    def deploy(self, **changes: Any) -> Object:  # noqa: ANN401 - fields of a spec
        return self.store.create(DEPLOYMENT, deployment(**changes))

    def change(self, change: Callable[[Object], object], kind: Kind = DEPLOYMENT, name: str = "web") -> None:
        """As an update of a spec by the API does."""
        found = self.store.get(kind, "default", name)
        change(found)
        found["metadata"]["generation"] = found["metadata"].get("generation", 1) + 1
        self.store.replace(kind, found)

    def image_is(self, tag: str) -> None:
        self.change(lambda found: container_of(found).update(image=f"{IMAGE}:{tag}"))

    def deployment(self) -> Object:
        return self.store.get(DEPLOYMENT, "default", "web")

    def pods(self) -> list[Object]:
        return list(self.store.all(POD))

    def is_complete(self) -> bool:
        """As `kubectl rollout status` decides it."""
        found = self.deployment()
        status, replicas = found.get("status", {}), found["spec"]["replicas"]
        counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
        return status.get("observedGeneration", 0) >= found["metadata"]["generation"] and counts == [replicas] * 3

    async def rolled_out(self) -> None:
        await self.until(self.is_complete)

    async def waiting(self, reason: str) -> Object:
        """The first container status that waits for a reason."""
        found: Object = await self.until(
            lambda: next(
                (one for one in self._statuses() if one["state"].get("waiting", {}).get("reason") == reason), 0
            )
        )
        return found

    async def failed(self, kind: str, reason: str) -> Object:
        """The Deployment's condition, once it has come to that."""

        def check() -> Object | None:
            found = condition(self.deployment().get("status", {}), kind)
            return found if found and found["reason"] == reason else None

        found: Object = await self.until(check)
        return found

    def _statuses(self) -> list[Object]:
        return [one for pod in self.pods() for one in pod["status"].get("containerStatuses", ())]


def image(platform: Platform | None = None, **environment: str) -> Image:
    config = ImageConfig(platform=platform or Platform(), env=environment)
    return build_image([build_layer({"/a": json.dumps(environment).encode()})], config)


def deployment(**changes: Any) -> Object:  # noqa: ANN401 - fields of a spec
    container = {"name": "c", "image": f"{IMAGE}:1", **changes.pop("container", {})}
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [container], **changes.pop("pod", {})},
    }
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template, **changes}
    metadata = {"name": "web", "namespace": "default", "generation": 1}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def service(port: int, **changes: Any) -> Object:  # noqa: ANN401 - fields of a spec
    ports = [{"port": 80, "protocol": "TCP", "nodePort": port}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": ports, **changes},
    }


def container_of(found: Object) -> Object:
    container: Object = found["spec"]["template"]["spec"]["containers"][0]
    return container


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Bench]:
    """A cluster of a folder, from its start to its stop."""
    state = State(folder)
    cluster = Cluster(folder, state=state, identities=Identities(state), hosts=_HOSTS, calls=Calls(), faults=Faults())
    task = asyncio.create_task(cluster.run())
    try:
        yield Bench(state, cluster._store)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        state.close()
        CLOCK.reset()
