"""What the interface says of deployments. Field names follow Kubernetes, in snake case.

Patterns: Kubernetes documentation, "Object Names and IDs", "Labels and Selectors", "Resource Management".
"""

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints, field_validator, model_validator

from service.resources import Model, Page, Reference

_LABEL = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
_QUANTITY = re.compile(r"(\d+|\d*\.\d+)([eE][+-]?\d{1,2}|[numkMGTPE]|[KMGTPE]i)?", re.ASCII)
OWN_LABEL_PREFIX = "wharfinger.dev/"
_RESERVED_LABELS = ("app.kubernetes.io/name", "app.kubernetes.io/managed-by")

ClusterName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=64), Field(examples=["demo"])]
NamespaceName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"), Field(examples=["default"])
]
WorkloadName = Annotated[
    str,
    StringConstraints(pattern=f"^{_LABEL}$"),
    Field(examples=["myapp"], description="Of the Deployment and of the Service: letters, digits and dashes"),
]
Port = Annotated[int, Field(ge=1, le=65535)]
NodePort = Annotated[int, Field(ge=30000, le=32767, examples=[32410])]
EnvName = Annotated[str, StringConstraints(pattern=r"^[-._a-zA-Z][-._a-zA-Z0-9]*$", max_length=253)]
LabelValue = Annotated[str, StringConstraints(pattern=r"^(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?$")]


def _is_quantity(text: str) -> str:
    if not _QUANTITY.fullmatch(text):
        raise ValueError("must be a quantity such as 250m, 0.5, 128Mi")
    return text


def _is_free_label(key: str) -> str:
    if key in _RESERVED_LABELS or key.startswith(OWN_LABEL_PREFIX):
        raise ValueError("this label is wharfinger's own")
    return key


Quantity = Annotated[str, AfterValidator(_is_quantity), Field(examples=["250m"])]
LabelKey = Annotated[
    str,
    StringConstraints(
        pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$"
    ),
    AfterValidator(_is_free_label),
]


def _is_reference(text: str) -> str:
    Reference.parse(text)
    return text


ImageText = Annotated[
    str,
    StringConstraints(max_length=400),
    AfterValidator(_is_reference),
    Field(examples=["team/app:0.0.2"], description="`team/app:0.0.2` or `team/app@sha256:…`, of the registry"),
]
Span = Annotated[timedelta, Field(gt=timedelta(0), le=timedelta(hours=6), examples=["PT5M"])]


class ServiceType(StrEnum):
    NODE_PORT = "NodePort"
    CLUSTER_IP = "ClusterIP"
    LOAD_BALANCER = "LoadBalancer"


class ResourceAmounts(Model):
    cpu: Quantity | None = None
    memory: Quantity | None = None


class Resources(Model):
    requests: ResourceAmounts | None = None
    limits: ResourceAmounts | None = None


class Probe(Model):
    """An HTTP GET to the container's port."""

    path: Annotated[str, StringConstraints(pattern=r"^/[\x21-\x7e]*$", max_length=1024)] = "/healthz"
    initial_delay_seconds: int = Field(0, ge=0, le=3600)
    period_seconds: int = Field(10, ge=1, le=3600)
    timeout_seconds: int = Field(1, ge=1, le=600)
    failure_threshold: int = Field(3, ge=1, le=1000)


class Probes(Model):
    readiness: Probe | None = None
    liveness: Probe | None = None
    startup: Probe | None = None


class OnFailure(StrEnum):
    KEEP = "keep"
    ROLLBACK = "rollback"


class WorkloadSpec(Model):
    """What runs: a Deployment with one container, and a Service in front. What is left out is not owned."""

    replicas: int | None = Field(None, ge=0, le=1000, description="Left out: one at first, and then as they are")
    port: Port = Field(description="Of the container", examples=[8080])
    service_type: ServiceType = ServiceType.NODE_PORT
    node_port: NodePort | None = None
    env: dict[EnvName, Annotated[str, StringConstraints(max_length=32768)]] = Field({}, max_length=200)
    resources: Resources = Resources()
    probes: Probes = Probes()
    labels: dict[LabelKey, LabelValue] = Field({}, max_length=50)
    service_account: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")] | None = None
    progress_deadline: Span = Field(
        timedelta(minutes=10), description="Without progress for this long, the rollout has failed"
    )
    on_failure: OnFailure = Field(OnFailure.KEEP, description="`rollback` goes back to the last that succeeded")

    @field_validator("progress_deadline")
    @classmethod
    def _whole_seconds(cls, value: timedelta) -> timedelta:
        if value % timedelta(seconds=1):
            raise ValueError("whole seconds only")
        return value

    @model_validator(mode="after")
    def _node_port_fits(self) -> Self:
        if self.node_port is not None and self.service_type is ServiceType.CLUSTER_IP:
            raise ValueError("node_port goes with service_type NodePort or LoadBalancer")
        return self


class DeploymentCreate(WorkloadSpec):
    cluster: ClusterName
    namespace: NamespaceName = "default"
    name: WorkloadName
    image: ImageText
    force: bool = Field(default=False, description="Take fields over from other managers; admins only")
    adopt: bool = Field(default=False, description="Take over objects that are not wharfinger's; admins only")


class DeploymentRollback(Model):
    """Where to go back to."""

    to: UUID | None = Field(None, description="A deployment of the same target that succeeded")


class DeploymentKind(StrEnum):
    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    DELETE = "delete"


class DeploymentStatus(StrEnum):
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
    checks: dict[str, Any] = Field(description="What was looked at before it was accepted")
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


class DeploymentEvent(Model):
    number: int
    at: AwareDatetime
    type: str = Field(examples=["progress"])
    data: dict[str, Any]
