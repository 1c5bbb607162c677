"""What the interface says of deployments. Field names follow Kubernetes, in snake case.

Patterns: Kubernetes documentation, "Object Names and IDs".
"""

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field, StrictBool, StringConstraints

from service.models.common import Model, Page, WorkEvent
from service.models.references import MOST_REFERENCE, REFERENCE_FORMS, Reference
from service.models.workloads import Security, WorkloadSpec

_LABEL = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"

ClusterName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=64), Field(examples=["demo"])]
NamespaceName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"), Field(examples=["default"])
]
WorkloadName = Annotated[
    str,
    StringConstraints(pattern=f"^{_LABEL}$"),
    Field(examples=["myapp"], description="Of the Deployment and of the Service: letters, digits and dashes"),
]


def _is_reference(text: str) -> str:
    Reference.parse(text)
    return text


ImageText = Annotated[
    str,
    StringConstraints(max_length=MOST_REFERENCE),
    AfterValidator(_is_reference),
    Field(examples=["team/app:0.0.2"], description=REFERENCE_FORMS),
]


class DeploymentCreate(WorkloadSpec):
    """A workload, and where it is to run."""

    cluster: ClusterName
    namespace: NamespaceName = "default"
    name: WorkloadName
    image: ImageText
    security: Security = Security()
    force: StrictBool = Field(default=False, description="Take fields over from other managers; admins only")
    adopt: StrictBool = Field(default=False, description="Take over objects that are not wharfinger's; admins only")


class DeploymentRollback(Model):
    """Where to go back to."""

    to: UUID | None = Field(None, description="A deployment of the same target that succeeded")


class DeploymentKind(StrEnum):
    """What a deployment is to do."""

    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    DELETE = "delete"


class DeploymentStatus(StrEnum):
    """How far a deployment is; all but the first two are final."""

    ACCEPTED = "accepted"
    PROGRESSING = "progressing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self not in (DeploymentStatus.ACCEPTED, DeploymentStatus.PROGRESSING)


class Progress(Model):
    """Pods, as the Deployment's status counts them."""

    desired: int
    updated: int
    ready: int
    available: int
    total: int


class Reason(Model):
    """Why it did not succeed, in the words of the pod or of the API server."""

    code: str = Field(examples=["image_pull_failed"])
    message: str
    pod: str | None = None
    container: str | None = None


class Deployment(Model):
    """A rollout, from its acceptance on."""

    id: str
    kind: DeploymentKind
    cluster: str
    namespace: str
    name: str
    generation: int = Field(description="Rises with each request for the same target; the newest counts")
    status: DeploymentStatus
    image: str = Field(description="As it was asked for")
    image_uri: str = Field(description="What runs: fully qualified, by digest")
    digest: str
    spec: dict[str, Any]
    checks: dict[str, Any] = Field(
        description="What was looked at before it was accepted; `gates`: what it had to pass, each with its finding"
    )
    progress: Progress | None
    reason: Reason | None
    urls: list[str] = Field(description="Where it answers: for a NodePort, one for each ready pod's host")
    created_by: str = Field(description="The label of the key that asked")
    accepted_at: AwareDatetime
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None
    cluster_away_since: AwareDatetime | None = Field(description="While the cluster can't be reached")
    superseded_by: str | None
    rollback_to: str | None = Field(description="The deployment whose image and settings this one goes back to")
    rolled_back_by: str | None


class DeploymentPage(Page):
    """One page of deployments."""

    items: list[Deployment]


class Change(Model):
    """One field that a deploy would change; null on a side where it is not set."""

    object: str = Field(examples=["Deployment/myapp"])
    path: str = Field(examples=[".spec.template.spec.containers[0].image"])
    before: Any
    after: Any


class DryRun(Model):
    """What a deploy would change, as the API server answers it; nothing was changed."""

    image_uri: str
    changes: list[Change]


class DeploymentEvent(WorkEvent):
    """Something that happened to a deployment; its number is the `id` of the server-sent event."""

    type: str = Field(examples=["progress"])
