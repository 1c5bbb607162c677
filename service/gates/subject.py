"""What gates look at: an image on its way to a namespace of a cluster."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from service.access.authz import Caller
from service.base.errors import MayImportError
from service.base.settings import ClusterSettings
from service.base.tasks import once
from service.clients.oci.manifests import Manifest
from service.clients.registry import Registry
from service.clusters.clusters import Clusters
from service.clusters.platforms import Node
from service.clusters.pull_roles import PullRoles, find_pull_roles
from service.iam.documents import Document
from service.models.deployments import DeploymentCreate
from service.models.images import ImageSummary
from service.models.references import Reference
from service.registry import references
from service.registry.registries import Registries

if TYPE_CHECKING:
    from service.clients.kube.client import Kube


class Subject:
    """Made anew for each request. What is to be awaited is asked for when it is first wanted, and once."""

    def __init__(
        self,
        *,
        registries: Registries,
        clusters: Clusters,
        caller: Caller,
        cluster: str,
        namespace: str,
        registry: Registry,
        image: Reference,
        spec: DeploymentCreate | None = None,
    ) -> None:
        self.registries = registries
        self.caller = caller
        self.cluster: ClusterSettings = clusters.find(cluster)
        self.namespace = namespace
        self.registry = registry
        self.image = image
        self.spec = spec
        """None: a deploy is only thought of, by a preflight."""
        self._clusters = clusters

    @cached_property
    def home(self) -> Registry | None:
        """The registry of the account and Region that the nodes are of; None: the cluster is not one of EKS."""
        if not self.cluster.is_eks:
            return None
        return self.registries.find(self._clusters.registry_of(self.cluster.name))

    @once
    async def kube(self) -> "Kube":
        return await self._clusters.connect(self.cluster.name)

    @once
    async def nodes(self) -> Sequence[Node]:
        return await (await self.kube).nodes()

    @once
    async def pull_roles(self) -> PullRoles:
        """As whom the nodes pull; none where the cluster is not one of EKS. Never raises: its errors are in it."""
        eks = self._clusters.eks(self.cluster.name)
        return PullRoles({}, ()) if eks is None else await find_pull_roles(eks)

    @once
    async def uri(self) -> str:
        """What docker pulls, without a tag."""
        return await self.registry.repositories.uri(self.image.repository)

    @once
    async def checked(self) -> Reference:
        """The reference, once it is known that what it says beside the name and the digest holds."""
        if self.image.host is not None:
            references.require_host(self.image, self.registry.name, await self.uri)
        if self.image.tag is not None and self.image.digest is not None:
            references.require_tag(self.image, await self.summary)
        return self.image

    @once
    async def summary(self) -> ImageSummary:
        return await self.registry.images.describe(self.image)

    @once
    async def manifest(self) -> Manifest:
        digest = (await self.summary).digest
        return await self.registry.images.manifest(Reference(self.image.repository, None, digest))

    @once
    async def platforms(self) -> Sequence[str]:
        """What the image was built for; none where it names none."""
        try:
            return await self.registry.images.platforms(self.image.repository, await self.manifest)
        except MayImportError:
            if self.spec is None:
                raise
            return ()  # a dry run of a deploy, which may read it and be refused for its platforms

    @once
    async def policy(self) -> Document | None:
        """The repository's."""
        return await self.registry.policies.get(self.image.repository)
