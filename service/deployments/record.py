"""A deployment as it is recorded, and which workload it is of."""

from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Self

from sqlalchemy import Row

from service.access.authz import Target
from service.models.deployments import Deployment, DeploymentKind, DeploymentStatus, Progress, Reason
from service.models.references import Reference
from service.models.workloads import OnFailure, WorkloadSpec
from service.operations.calls import Json, Parent


@dataclass(frozen=True, slots=True)
class Place:
    """Which workload: the target that generations are counted for."""

    cluster: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.cluster}/{self.namespace}/{self.name}"

    @property
    def target(self) -> Target:
        return Target(cluster=self.cluster, namespace=self.namespace, name=self.name)


@dataclass(frozen=True)
class DeploymentRecord:
    """A row of `deployments`. What it keeps as text or JSON is parsed where it is first asked for, and once.

    Not before: a version to come may be stricter, and has to list what an older one accepted.
    """

    id: str
    kind: DeploymentKind
    place: Place
    generation: int
    stored_spec: Json
    """As it was asked for, with what is no part of a WorkloadSpec: the registry, `force`, `adopt`."""
    image: str
    image_uri: str
    digest: str
    checks: Json
    actor: str
    actor_label: str
    request_id: str
    status: DeploymentStatus
    progress: Progress | None
    reason: Reason | None
    urls: list[str]
    accepted_at: datetime
    started_at: datetime | None
    progressed_at: datetime | None
    cluster_away_since: datetime | None
    finished_at: datetime | None
    superseded_by: str | None
    rollback_to: str | None
    rolled_back_by: str | None
    lease_owner: str | None
    """See `handover`."""

    @classmethod
    def from_row(cls, row: Row[Any]) -> Self:
        """:param row: of all columns of `deployments`."""
        parsed = {
            "kind": DeploymentKind(row.kind),
            "place": Place(row.cluster, row.namespace, row.name),
            "stored_spec": row.spec,
            "status": DeploymentStatus(row.status),
            "progress": Progress.model_validate(row.progress) if row.progress else None,
            "reason": Reason.model_validate(row.reason) if row.reason else None,
        }
        plain = cls.__dataclass_fields__.keys() - parsed.keys()
        return cls(**parsed, **{name: getattr(row, name) for name in plain})

    @cached_property
    def spec(self) -> WorkloadSpec:
        known = WorkloadSpec.model_fields.keys() & self.stored_spec.keys()
        return WorkloadSpec.model_validate({name: self.stored_spec[name] for name in known})

    @cached_property
    def reference(self) -> Reference:
        """The image as it was asked for."""
        return Reference.parse(self.image)

    @property
    def name(self) -> str:
        """Of the Deployment and of the Service."""
        return self.place.name

    @property
    def is_forced(self) -> bool:
        """Whether fields are taken over from other managers."""
        return bool(self.stored_spec.get("force"))

    @property
    def is_adopting(self) -> bool:
        """Whether objects that are not ours are taken over."""
        return bool(self.stored_spec.get("adopt"))

    @property
    def is_to_be_rolled_back(self) -> bool:
        """Whether it asks for that, should it fail."""
        return self.kind is DeploymentKind.DEPLOY and self.stored_spec.get("on_failure") == OnFailure.ROLLBACK

    @property
    def parent(self) -> Parent:
        """The operation that accepted it, as far as its steps are recorded like it."""
        return Parent(self.id, self.actor, self.actor_label, self.request_id, str(self.place))

    def carried(self) -> Json:
        """What another deployment of its target takes from it: image and settings, without what an admin may alone."""
        spec = self.stored_spec | {"force": False, "adopt": False}
        names = ("image", "image_uri", "digest", "checks")
        return {name: getattr(self, name) for name in names} | {"spec": spec}

    def to_deployment(self) -> Deployment:
        names = Deployment.model_fields.keys() & self.__dataclass_fields__.keys()
        # Readers of a deployment need not know what its environment holds.
        spec = self.stored_spec | {"env": dict.fromkeys(self.stored_spec.get("env") or {}, "…")}
        facts = {name: getattr(self, name) for name in names} | asdict(self.place)
        return Deployment.model_validate(facts | {"spec": spec, "created_by": self.actor_label})
