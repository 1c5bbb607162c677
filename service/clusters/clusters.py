"""The clusters of the settings: connected on first use, described, found by name."""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import structlog

from service.access import authz
from service.access.authz import Caller
from service.base import globs
from service.base.errors import ClusterUnavailableError, NotFoundError, WharfingerError
from service.base.settings import ClusterSettings
from service.clients.eks import Eks
from service.clusters.platforms import platforms_of
from service.models.clusters import Cluster, ClusterList, ClusterStatus
from service.models.workloads import MANAGER
from service.registry.registries import Registries

if TYPE_CHECKING:
    from service.clients.kube.client import Kube


_LOOK_AGAIN_SECONDS = 10.0
"""The least time between two looks for a cluster that is not where it was."""

_SYSTEM_NAMESPACES = "kube-"

log = structlog.get_logger()


class Clusters:
    """Finds and connects clusters. A connection is kept until the cluster is found to have moved."""

    def __init__(
        self,
        *,
        settings: Sequence[ClusterSettings],
        registries: Registries,
        own_namespace: str,
    ) -> None:
        self._settings = {one.name: one for one in settings}
        self._registries = registries
        self._own_namespace = own_namespace
        self._eks = {name: self._open_eks(one) for name, one in self._settings.items() if one.is_eks}
        self._connected: dict[str, Kube] = {}
        self._connecting = {name: asyncio.Lock() for name in self._settings}
        self._looked: dict[str, float] = {}
        self._left: list[Kube] = []

    async def close(self) -> None:
        for kube in (*self._connected.values(), *self._left):
            await kube.close()

    def find(self, name: str) -> ClusterSettings:
        """:raises NotFoundError: there is no such cluster."""
        if name not in self._settings:
            raise NotFoundError("cluster", name)
        return self._settings[name]

    def registry_of(self, name: str) -> str | None:
        """The registry that goes with a cluster.

        :raises NotFoundError: there is no such cluster.
        """
        return self.find(name).registry or self._registries.default

    def is_reserved(self, name: str, namespace: str) -> bool:
        """Whether a namespace is none of those that the cluster's settings open to every deployer.

        :raises NotFoundError: there is no such cluster.
        """
        opened = self.find(name).namespaces
        if opened is None:
            return namespace == self._own_namespace or namespace.startswith(_SYSTEM_NAMESPACES)
        return not any(globs.matches(one, namespace) for one in opened)

    def eks(self, name: str) -> Eks | None:
        """What EKS says of a cluster; None: it is not one of EKS.

        :raises NotFoundError: there is no such cluster.
        """
        return self._eks.get(self.find(name).name)

    async def connect(self, name: str) -> "Kube":
        """:raises NotFoundError: there is no such cluster. :raises ClusterUnavailableError: it is not there yet."""
        settings = self.find(name)
        kube = self._connected.get(name)
        if kube is None:
            async with self._connecting[name]:
                if name not in self._connected:
                    self._connected[name] = await self._connect(settings)
        elif kube.is_doubted and self._may_look(name):
            await self._look_again(settings, kube)
        return self._connected[name]

    def _may_look(self, name: str) -> bool:
        """Whether to look now; if so, whoever asks within the next seconds goes on with what is known."""
        now = time.monotonic()
        if now < self._looked.get(name, -math.inf) + _LOOK_AGAIN_SECONDS:
            return False
        self._looked[name] = now
        return True

    async def _look_again(self, settings: ClusterSettings, known: "Kube") -> None:
        """Made again under its name, a cluster has another endpoint and CA; a kubeconfig may have been rewritten."""
        try:
            anew = await self._connect(settings)
        except WharfingerError as error:
            log.warning("cluster_not_found_again", cluster=settings.name, code=error.code, detail=error.detail)
            return
        if anew.config == known.config:
            known.is_doubted = False
            await anew.close()
            return
        log.info("cluster_moved", cluster=settings.name, server=anew.config.cluster.server)
        self._connected[settings.name] = anew
        # Whoever still watches by it ends by itself.
        self._left.append(known)

    def list(self, caller: Caller) -> ClusterList:
        known = [self._describe(one) for one in self._settings.values() if authz.reaches_cluster(caller, one.name)]
        return ClusterList(items=known, next_cursor=None)

    async def get(self, caller: Caller, name: str) -> ClusterStatus:
        """:raises NotFoundError: there is none of that name that the caller may know of."""
        settings = self.find(name)
        authz.require_cluster(caller, name)
        facts = self._describe(settings).model_dump() | {"status": None, "version": None}
        try:
            if name in self._eks:
                described = await self._eks[name].describe()
                facts |= {"status": described.status, "version": described.version}
            nodes = await (await self.connect(name)).nodes()
        except WharfingerError as error:
            return ClusterStatus(
                **facts, reachable=False, problem=error.code, detail=error.detail, nodes=0, architectures=[]
            )
        facts["version"] = facts["version"] or _version(nodes)
        return ClusterStatus(
            **facts, reachable=True, problem=None, detail=None, nodes=len(nodes), architectures=platforms_of(nodes)
        )

    def _open_eks(self, settings: ClusterSettings) -> Eks:
        return self._registries.find(settings.registry).eks(settings.name_at_eks)

    async def _connect(self, settings: ClusterSettings) -> "Kube":
        from service.clients.kube.client import Kube, eks_config, of_file  # noqa: PLC0415 - half a second, and not for all

        if settings.kubeconfig is not None:
            return of_file(settings.name, settings.kubeconfig, settings.context, manager=MANAGER)
        eks = self._eks[settings.name]
        described = await eks.describe()
        if described.endpoint is None or described.certificate_authority is None:
            raise ClusterUnavailableError(
                f"EKS says that cluster {settings.name} is {described.status}.", retry_after=30
            )
        config = eks_config(settings.name, described.endpoint, described.certificate_authority)
        # Access entries are made for the role, and not for a session of it, as which STS would name us.
        identity = self._registries.find(settings.registry).settings.role or await eks.identity()
        return Kube(settings.name, config, manager=MANAGER, identity=identity, tokens=eks)

    def _describe(self, settings: ClusterSettings) -> Cluster:
        kind = "eks" if settings.is_eks else "kubeconfig"
        return Cluster(name=settings.name, kind=kind, registry=settings.registry or self._registries.default)


def _version(nodes: Sequence[Mapping[str, object]]) -> str | None:
    infos = [one.get("status", {}).get("nodeInfo", {}) for one in nodes]  # type: ignore[attr-defined] # JSON
    return next((str(one["kubeletVersion"]) for one in infos if "kubeletVersion" in one), None)
