"""`/v1/clusters`."""

from service.models.common import Model, Page


class Cluster(Model):
    """A cluster of the settings."""

    name: str
    kind: str
    registry: str | None


class ClusterStatus(Cluster):
    """A cluster, and what it says of itself just now."""

    reachable: bool
    problem: str | None
    detail: str | None
    status: str | None
    version: str | None
    nodes: int
    architectures: list[str]


class ClusterList(Page):
    """All that the caller may know of."""

    items: list[Cluster]
