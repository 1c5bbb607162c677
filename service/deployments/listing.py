"""Which deployments a list has: as it was asked for, and as the caller may read them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, false, or_, true

from service.access import authz
from service.access.authz import Binding
from service.base.tables import deployments
from service.models.deployments import DeploymentStatus


@dataclass(frozen=True, slots=True)
class DeploymentFilter:
    """Which deployments to list; None is not looked at."""

    cluster: str | None = None
    namespace: str | None = None
    name: str | None = None
    status: DeploymentStatus | None = None

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        named = {"cluster": self.cluster, "namespace": self.namespace, "name": self.name, "status": self.status}
        yield from (deployments.c[field] == value for field, value in named.items() if value is not None)


def covered_by(bindings: Sequence[Binding]) -> ColumnElement[bool]:
    """Where a deployment is covered by one of these: as `authz` has it, for SQL."""
    return or_(false(), *(and_(*_bounds(one)) for one in bindings if one.cluster and one.namespace))


def _bounds(binding: Binding) -> Iterator[ColumnElement[bool]]:
    yield true()
    if binding.cluster != authz.EVERY:
        yield deployments.c.cluster == binding.cluster
    if binding.namespace != authz.EVERY:
        yield deployments.c.namespace == binding.namespace
