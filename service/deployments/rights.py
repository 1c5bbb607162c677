"""What a caller must be allowed to do for a deployment: at its target, and with its image."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from service.access.actions import Action
from service.access.authz import Target
from service.clusters.clusters import Clusters
from service.deployments.record import DeploymentRecord, Place
from service.models.deployments import DeploymentCreate
from service.models.references import Reference
from service.models.workloads import WorkloadSpec

Needed = Sequence[tuple[Action, Target]]


class Rights:
    def __init__(self, *, clusters: Clusters) -> None:
        self._clusters = clusters

    def to_create(self, place: Place, asked: DeploymentCreate, registry: str) -> Needed:
        image = Target(registry, Reference.parse(asked.image).repository)
        privileges = {Action.DEPLOYMENT_FORCE: asked.force, Action.DEPLOYMENT_ADOPT: asked.adopt}
        return self._to_run(Action.DEPLOYMENT_CREATE, place, image, asked, privileges)

    def to_roll_back(self, place: Place, goal: DeploymentRecord, registry: str) -> Needed:
        image = Target(registry, goal.reference.repository)
        return self._to_run(Action.DEPLOYMENT_ROLLBACK, place, image, goal.spec)

    def to_delete(self, place: Place) -> Needed:
        return [(Action.DEPLOYMENT_DELETE, place.target), *self._reserved(place)]

    def _to_run(
        self,
        action: Action,
        place: Place,
        image: Target,
        spec: WorkloadSpec,
        privileges: Mapping[Action, bool] = MappingProxyType({}),
    ) -> Needed:
        beside = {**privileges, Action.DEPLOYMENT_SERVICE_ACCOUNT: spec.service_account is not None}
        asked = [(one, place.target) for one, is_asked in beside.items() if is_asked]
        return [(action, place.target), (Action.REPOSITORY_READ, image), *asked, *self._reserved(place)]

    def _reserved(self, place: Place) -> Needed:
        is_reserved = self._clusters.is_reserved(place.cluster, place.namespace)
        return [(Action.DEPLOYMENT_RESERVED_NAMESPACE, place.target)] if is_reserved else []
