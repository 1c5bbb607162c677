"""What the interface says of a workload: what runs, and with what around it. Names follow Kubernetes, in snake case.

Patterns: Kubernetes documentation, "Object Names and IDs", "Labels and Selectors", "Resource Management".
"""

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StringConstraints, field_validator, model_validator

from service.models.common import AsText, Model

_QUANTITY = re.compile(r"(\d+|\d*\.\d+)([eE][+-]?\d{1,2}|[numkMGTPE]|[KMGTPE]i)?", re.ASCII)
MANAGER = "wharfinger"
"""Our field manager, and the value of the label by which we know our own objects."""
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


Argument = Annotated[str, StringConstraints(max_length=32768), Field(examples=["--verbose"])]
DataKey = Annotated[str, StringConstraints(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253), Field(examples=["password"])]
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
    """How the Service is reached."""

    NODE_PORT = "NodePort"
    CLUSTER_IP = "ClusterIP"
    LOAD_BALANCER = "LoadBalancer"


class ResourceAmounts(Model):
    """Amounts as Kubernetes writes them."""

    cpu: Quantity | None = None
    memory: Quantity | None = None


class Resources(Model):
    """What the container asks for, and what it may use at most."""

    requests: ResourceAmounts | None = None
    limits: ResourceAmounts | None = None


class SecretKey(Model):
    """A value of a Secret in the namespace."""

    secret: ObjectName
    key: DataKey


class ConfigMapKey(Model):
    """A value of a ConfigMap in the namespace."""

    config_map: ObjectName
    key: DataKey


class EnvSource(Model):
    """All values of a ConfigMap, or of a Secret."""

    config_map: ObjectName | None = None
    secret: ObjectName | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.config_map is None) == (self.secret is None):
            raise ValueError("either config_map or secret")
        return self


class Volume(Model):
    """A folder with the values of a ConfigMap or of a Secret as files, or an empty one that ends with the pod."""

    mount_path: Annotated[
        str, StringConstraints(pattern=r"^/[^\x00-\x1f\x7f:]+$", max_length=1024), Field(examples=["/etc/myapp"])
    ]
    config_map: ObjectName | None = None
    secret: ObjectName | None = None
    empty_dir: StrictBool = False

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if [self.config_map is not None, self.secret is not None, self.empty_dir].count(True) != 1:
            raise ValueError("must name just one of config_map, secret and empty_dir")
        return self


class Probe(Model):
    """An HTTP GET to the container's port; or a command in it, or that the port takes a connection."""

    path: Annotated[
        str | None,
        StringConstraints(pattern=r"^/[\x21-\x7e]*$", max_length=1024),
        Field(examples=["/healthz"], description="Left out without `command` and `tcp`: `/healthz`"),
    ] = None
    command: list[Argument] = Field([], max_length=100)
    tcp: StrictBool = False
    port: Port | None = Field(None, description="Another one than the workload's", examples=[8081])
    initial_delay_seconds: StrictInt = Field(0, ge=0, le=3600)
    period_seconds: StrictInt = Field(10, ge=1, le=3600)
    timeout_seconds: StrictInt = Field(1, ge=1, le=600)
    failure_threshold: StrictInt = Field(3, ge=1, le=1000)

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if [self.path is not None, bool(self.command), self.tcp].count(True) > 1:
            raise ValueError("one of path, command and tcp")
        if self.command and self.port is not None:
            raise ValueError("port goes with path or tcp")
        return self


class Probes(Model):
    """How Kubernetes finds out whether the container has started, is ready and is alive."""

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
    """What becomes of a rollout that failed."""

    KEEP = "keep"
    ROLLBACK = "rollback"


class WorkloadSpec(Model):
    """What runs: a Deployment with one container, and with a port a Service in front. What is left out is not owned."""

    replicas: StrictInt | None = Field(None, ge=0, le=1000, description="Left out: one at first, and then as they are")
    port: Port | None = Field(
        None, description="Of the container; left out, there is no Service, and one of ours goes", examples=[8080]
    )
    service_port: Port | None = Field(None, description="Of the Service; left out, as `port`", examples=[80])
    service_type: ServiceType = ServiceType.NODE_PORT
    node_port: NodePort | None = None
    command: list[Argument] = Field([], max_length=100, description="Instead of the image's entrypoint")
    args: list[Argument] = Field([], max_length=100, description="Instead of the image's command")
    env: dict[EnvName, Annotated[str, StringConstraints(max_length=32768)]] = Field(
        {}, max_length=200, description="Kept as long as a rollback may need it: what is secret belongs in `secret_env`"
    )
    secret_env: dict[EnvName, SecretKey] = Field({}, max_length=200)
    config_env: dict[EnvName, ConfigMapKey] = Field({}, max_length=200)
    env_from: list[EnvSource] = Field([], max_length=20)
    volumes: list[Volume] = Field([], max_length=20)
    image_pull_secrets: list[ObjectName] = Field([], max_length=10)
    resources: Resources = Resources()
    probes: Probes = Probes()
    labels: dict[LabelKey, LabelValue] = Field({}, max_length=50)
    service_account: ObjectName | None = Field(
        None, description="Its token is mounted; left out, the namespace's `default` runs it, and no token is"
    )
    security: Security | None = Field(None, description="None: kept from before there was one, and runs as it did then")
    termination_grace_period_seconds: StrictInt | None = Field(
        None, ge=0, le=3600, description="From SIGTERM to SIGKILL; left out, 30"
    )
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

    @model_validator(mode="after")
    def _has_a_port_where_one_is_needed(self) -> Self:
        if self.port is not None:
            return self
        if self.service_port is not None or self.node_port is not None:
            raise ValueError("service_port and node_port go with port")
        probes = (self.probes.readiness, self.probes.liveness, self.probes.startup)
        if any(one and not one.command and one.port is None for one in probes):
            raise ValueError("a probe by path or tcp needs a port: its own, or the workload's")
        return self

    @model_validator(mode="after")
    def _says_each_thing_once(self) -> Self:
        names = [*self.env, *self.secret_env, *self.config_env]
        if twice := sorted({one for one in names if names.count(one) > 1}):
            raise ValueError(f"{', '.join(twice)}: may be in only one of env, secret_env and config_env")
        paths = [one.mount_path for one in self.volumes]
        if len(set(paths)) < len(paths):
            raise ValueError("each volume has a mount_path of its own")
        if len(set(self.image_pull_secrets)) < len(self.image_pull_secrets):
            raise ValueError("each of image_pull_secrets once")
        return self
