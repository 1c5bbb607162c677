"""What a rollout sees of its workload: by watches as it changes, and by reads where the watches need not be in step."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from service.base.tasks import both
from service.deployments.fencing import gone
from service.deployments.record import DeploymentRecord
from service.deployments.rollout_verdict import host_ips, newest
from service.deployments.workloads import Object
from service.models.workloads import ServiceType

if TYPE_CHECKING:
    from service.clients.kube.client import Kube


class RolloutView:
    """The Deployment, its pods and, where it gets an address only later, its Service.

    `labels` select the pods.
    """

    def __init__(self, kube: "Kube", record: DeploymentRecord, labels: dict[str, str]) -> None:
        self._kube = kube
        self._record = record
        self._labels = labels
        self._spec = record.spec
        self._type = self._spec.service_type if self._spec.port else None
        self._queue: asyncio.Queue[tuple[str, str, Object] | Exception] = asyncio.Queue()
        self._seen: dict[tuple[str, str], Object] = {}

    @property
    def deployment(self) -> Object | None:
        return self._seen.get(("Deployment", self._record.name))

    @property
    def pods(self) -> list[Object]:
        """Those of older templates too."""
        return [resource for (kind, _), resource in self._seen.items() if kind == "Pod"]

    @property
    def awaits_address(self) -> bool:
        """Whether there is a load balancer that nobody has made yet."""
        return self._type is ServiceType.LOAD_BALANCER and not self._balancers()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Keep the watches open meanwhile."""
        watches = [self._pump("Deployment", name=self._record.name), self._pump("Pod", labels=self._labels)]
        if self._type is ServiceType.LOAD_BALANCER:
            watches.append(self._pump("Service", name=self._record.name))
        tasks = [asyncio.create_task(one) for one in watches]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def change(self, seconds: float) -> None:
        """Wait for a change, and take in all that have come.

        :raises TimeoutError: there was none. :raises ConflictError: the Deployment was deleted (`object_gone`).
        :raises ClusterUnavailableError: a watch broke.
        """
        self._take(await asyncio.wait_for(self._queue.get(), seconds))
        while not self._queue.empty():
            self._take(self._queue.get_nowait())

    async def newest_pods(self) -> list[Object]:
        """Those of the present template, as they are now."""
        namespace = self._record.place.namespace
        if (present := self.deployment) is None:
            return []
        pods, sets = await both(
            self._kube.list("Pod", namespace, self._labels),
            self._kube.list("ReplicaSet", namespace, self._labels),
        )
        return [dict(one) for one in newest(present, sets, pods)]

    async def urls(self) -> list[str]:
        """Where the workload answers: by node port once for each host of a ready pod.

        :raises ConflictError: the Service is no more (`object_gone`), or not of this type.
        """
        place, port = self._record.place, self._spec.service_port or self._spec.port
        if self._type is None:
            return []
        if self._type is ServiceType.CLUSTER_IP:
            return [f"http://{place.name}.{place.namespace}.svc:{port}"]
        if self._type is ServiceType.LOAD_BALANCER:
            return [f"http://{name}:{port}" for name in self._balancers()]
        pods, front = await both(self.newest_pods(), self._kube.find("Service", place.namespace, place.name))
        ports = ((front or {}).get("spec") or {}).get("ports") or [{}]
        if (node_port := ports[0].get("nodePort")) is None:
            raise gone("The node port of Service", place.name)
        return [f"http://{host}:{node_port}" for host in host_ips(pods)]

    def _balancers(self) -> list[str]:
        status = self._seen.get(("Service", self._record.name), {}).get("status") or {}
        ingress = (status.get("loadBalancer") or {}).get("ingress") or []
        return [name for one in ingress if (name := one.get("hostname") or one.get("ip"))]

    async def _pump(self, kind: str, **which: Any) -> None:  # noqa: ANN401 - passed on
        try:
            async for change, resource in self._kube.watch(kind, self._record.place.namespace, **which):
                self._queue.put_nowait((kind, change, resource))
        except Exception as error:  # noqa: BLE001 - raised where the queue is read
            self._queue.put_nowait(error)

    def _take(self, item: tuple[str, str, Object] | Exception) -> None:
        if isinstance(item, Exception):
            raise item
        kind, change, resource = item
        key = (kind, resource["metadata"]["name"])
        if change != "DELETED":
            self._seen[key] = resource
        elif kind == "Deployment":
            raise gone(kind, self._record.name)
        else:
            self._seen.pop(key, None)
