"""What the interface says of a workload: what runs, and with what around it. Names follow Kubernetes, in snake case.

Patterns: Kubernetes documentation, "Object Names and IDs", "Labels and Selectors", "Resource Management".
"""

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StringConstraints, field_validator, model_validator

from service.resources import AsText, Model

_QUANTITY = re.compile(r"(\d+|\d*\.\d+)([eE][+-]?\d{1,2}|[numkMGTPE]|[KMGTPE]i)?", re.ASCII)
OWN_LABEL_PREFIX = "wharfinger.dev/"
_RESERVED_LABELS = ("app.kubernetes.io/name", "app.kubernetes.io/managed-by")

Port = Annotated[StrictInt, Field(ge=1, le=65535)]
NodePort = Annotated[StrictInt, Field(ge=30000, le=32767, examples=[32410])]
EnvName = Annotated[
    str, StringConstraints(pattern=r"^[-._a-zA-Z][-._a-zA-Z0-9]*$", max_length=253), Field(examples=["LOG_LEVEL"])
]
ObjectName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"), Field(examples=["myapp"])
]
LabelValue = Annotated[
    str,
    StringConstraints(pattern=r"^(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?$"),
    Field(examples=["web"]),
]


def _is_quantity(text: str) -> str:
    if not _QUANTITY.fullmatch(text):
        raise ValueError("must be a quantity such as 250m, 0.5, 128Mi")
    return text


def _is_free_label(key: str) -> str:
    if key in _RESERVED_LABELS or key.startswith(OWN_LABEL_PREFIX):
        raise ValueError("this label is wharfinger's own")
    return key


UnixId = Annotated[StrictInt, Field(ge=0, le=2**31 - 1, examples=[1000])]
Quantity = Annotated[str, AfterValidator(_is_quantity), Field(examples=["250m"])]
LabelKey = Annotated[
    str,
    StringConstraints(
        pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$"
    ),
    Field(examples=["example.com/tier"]),
    AfterValidator(_is_free_label),
]
Span = Annotated[timedelta, Field(gt=timedelta(0), le=timedelta(hours=6), examples=["PT5M"]), AsText]


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

    path: Annotated[
        str, StringConstraints(pattern=r"^/[\x21-\x7e]*$", max_length=1024), Field(examples=["/healthz"])
    ] = "/healthz"
    initial_delay_seconds: StrictInt = Field(0, ge=0, le=3600)
    period_seconds: StrictInt = Field(10, ge=1, le=3600)
    timeout_seconds: StrictInt = Field(1, ge=1, le=600)
    failure_threshold: StrictInt = Field(3, ge=1, le=1000)


class Probes(Model):
    readiness: Probe | None = None
    liveness: Probe | None = None
    startup: Probe | None = None


class Capability(StrEnum):
    """What may be added: what a container runtime grants by default, and no more."""

    AUDIT_WRITE = "AUDIT_WRITE"
    CHOWN = "CHOWN"
    DAC_OVERRIDE = "DAC_OVERRIDE"
    FOWNER = "FOWNER"
    FSETID = "FSETID"
    KILL = "KILL"
    MKNOD = "MKNOD"
    NET_BIND_SERVICE = "NET_BIND_SERVICE"
    SETFCAP = "SETFCAP"
    SETGID = "SETGID"
    SETPCAP = "SETPCAP"
    SETUID = "SETUID"
    SYS_CHROOT = "SYS_CHROOT"


class Security(Model):
    """What the image needs beyond the least: no capabilities, no way to more rights, the runtime's seccomp profile."""

    run_as_user: UnixId | None = Field(None, description="Left out: as the image says")
    run_as_group: UnixId | None = None
    fs_group: UnixId | None = Field(None, description="The group that volumes belong to")
    run_as_non_root: StrictBool = Field(default=False, description="Start only where the user is not root")
    read_only_root_filesystem: StrictBool = False
    allow_privilege_escalation: StrictBool = Field(default=False, description="For programs with setuid, such as sudo")
    capabilities: list[Capability] = Field([], max_length=len(Capability), description="Added; all others are dropped")

    @model_validator(mode="after")
    def _user_fits(self) -> Self:
        if self.run_as_non_root and self.run_as_user == 0:
            raise ValueError("run_as_non_root goes with another run_as_user than 0")
        return self


class OnFailure(StrEnum):
    KEEP = "keep"
    ROLLBACK = "rollback"


class WorkloadSpec(Model):
    """What runs: a Deployment with one container, and a Service in front. What is left out is not owned."""

    replicas: StrictInt | None = Field(None, ge=0, le=1000, description="Left out: one at first, and then as they are")
    port: Port = Field(description="Of the container", examples=[8080])
    service_type: ServiceType = ServiceType.NODE_PORT
    node_port: NodePort | None = None
    env: dict[EnvName, Annotated[str, StringConstraints(max_length=32768)]] = Field({}, max_length=200)
    resources: Resources = Resources()
    probes: Probes = Probes()
    labels: dict[LabelKey, LabelValue] = Field({}, max_length=50)
    service_account: ObjectName | None = Field(
        None, description="Its token is mounted; left out, the namespace's `default` runs it, and no token is"
    )
    security: Security | None = Field(None, description="None: kept from before there was one, and runs as it did then")
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
