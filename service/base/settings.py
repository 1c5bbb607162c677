"""The settings, and the only reader of the environment. An unknown name refuses to start."""

import difflib
import os
from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}

PREFIX = "WHARFINGER__"
FILE_VARIABLE = "WHARFINGER__SETTINGS_FILE"
DEFAULT_FILE = Path("wharfinger.toml")

Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(?:[._-][a-z0-9]+)*$", max_length=64)]
AccountId = Annotated[str, Field(pattern=r"^[0-9]{12}$")]
Region = Annotated[str, Field(pattern=r"^[0-9a-z-]{2,25}$")]
RoleArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$")]
NamespacePattern = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$|^[a-z0-9][-a-z0-9]{0,61}\*$")]
PositiveSpan = Annotated[timedelta, Field(gt=timedelta(0))]


class StartupError(Exception):
    """The settings do not allow to start; the text says which and why, for the person at the terminal."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RegistrySettings(_Section):
    """One ECR registry: an account in a Region, and the roles by which it is reached."""

    name: Name
    account_id: AccountId
    region: Region
    role: RoleArn | None = Field(
        None, description="Role to assume for every call; without it, the process's own identity"
    )
    external_id: SecretStr | None = Field(None, description="External id the role's trust policy asks for")
    broker_role: RoleArn | None = Field(None, description="Role that vended docker credentials are narrowed from")
    endpoint: HttpUrl | None = Field(
        None, description="One endpoint for all services instead of AWS's own (the sandbox)"
    )

    @model_validator(mode="after")
    def _roles_are_of_the_account(self) -> "RegistrySettings":
        for name in ("role", "broker_role"):
            role = getattr(self, name)
            if role is not None and role.split(":")[4] != self.account_id:
                # ECR answers for the account of whoever asks, so all else would be done to another registry.
                raise ValueError(f"{name} is of account {role.split(':')[4]}, and account_id is {self.account_id}")
        return self

    @property
    def partition(self) -> str:
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    def repository_arn(self, name: str) -> str:
        """The ARN of a repository, which need not exist; of `team/*` a pattern of ARNs."""
        return f"arn:{self.partition}:ecr:{self.region}:{self.account_id}:repository/{name}"


class ClusterSettings(_Section):
    """A Kubernetes cluster: one of EKS, reached through a registry's role, or a context of a kubeconfig."""

    name: Name
    registry: Name | None = Field(
        None, description="The registry whose account, Region and role an EKS cluster is reached by; else the default"
    )
    eks_name: Annotated[str, Field(pattern=r"^[0-9A-Za-z][A-Za-z0-9_-]{0,99}$")] | None = Field(
        None, description="The cluster's name at EKS, where it is another one"
    )
    kubeconfig: Path | None = Field(None, description="A kubeconfig file instead of EKS")
    context: str | None = Field(None, description="A context of that file, instead of its current one")
    namespaces: tuple[NamespacePattern, ...] | None = Field(
        None,
        description="Where every deployer may go: names, or beginnings with `*` after; else everywhere but `kube-*` "
        "and wharfinger's own namespace. Elsewhere it takes a grant of its own",
    )

    @model_validator(mode="after")
    def _is_one_kind(self) -> "ClusterSettings":
        if self.kubeconfig and self.eks_name:
            raise ValueError("eks_name and kubeconfig exclude each other")
        if self.context and not self.kubeconfig:
            raise ValueError("context goes with kubeconfig")
        return self

    @property
    def is_eks(self) -> bool:
        return self.kubeconfig is None

    @property
    def name_at_eks(self) -> str:
        return self.eks_name or self.name


class JobsWork(StrEnum):
    """What a process does of the long work that the replicas share."""

    YES = "yes"
    NO = "no"
    ONLY = "only"


class JobSettings(_Section):
    work: JobsWork = Field(
        JobsWork.YES,
        description="yes: this process serves requests and works on jobs; no: it serves, and leaves jobs to others; "
        "only: it works, and serves none but the platform's own requests",
    )


class RolloutSettings(_Section):
    """How rollouts are shared between replicas and kept."""

    lease: PositiveSpan = Field(
        timedelta(seconds=5), description="After which the rollouts of a replica that died go to another"
    )
    keep: PositiveSpan = Field(timedelta(days=90), description="How long a finished deployment's events are kept")


class DatabaseSettings(_Section):
    url: SecretStr | None = Field(
        None, description="postgresql://… or sqlite:///…; SQLite in the data folder by default"
    )
    pool_size: int = Field(10, ge=1, le=200)
    timeout: PositiveSpan = Field(timedelta(seconds=5), description="To connect, and to wait for a lock")

    @field_validator("url")
    @classmethod
    def _is_known(cls, given: SecretStr | None) -> SecretStr | None:
        from sqlalchemy.engine import make_url  # noqa: PLC0415 - a quarter of a second, and not for all
        from sqlalchemy.exc import ArgumentError  # noqa: PLC0415 - as above

        if given is None:
            return None
        try:
            url = make_url(_with_driver(given))
            is_known = url.drivername in _DRIVERS.values()
        except (ArgumentError, ValueError):
            is_known = False
        if not is_known:
            # Without the words of what tripped: there may be a password in them.
            raise ValueError("give postgresql://USER:PASSWORD@HOST:PORT/DATABASE or sqlite:///FILE")
        if "@" in (url.host or ""):
            # The rest of a password would be taken for the host, and told as the one that can't be reached.
            raise ValueError("in a password, write @ as %40")
        return given


class LimitSettings(_Section):
    body_bytes: int = Field(1_048_576, ge=1024)
    header_bytes: int = Field(32_768, ge=1024, description="Of a request's line and headers together")


class DeadlineSettings(_Section):
    request: PositiveSpan = timedelta(seconds=30)
    headers: PositiveSpan = Field(timedelta(seconds=10), description="For a request's line and headers to come")
    body: PositiveSpan = Field(timedelta(seconds=10), description="For a request's body to come")
    idle: PositiveSpan = Field(
        timedelta(seconds=75), description="For the next request of a connection; longer than a load balancer's own"
    )
    aws_connect: PositiveSpan = timedelta(seconds=3)
    aws_read: PositiveSpan = timedelta(seconds=10)
    aws_attempts: int = Field(3, ge=1, le=10)
    settle_grace: PositiveSpan = Field(
        timedelta(seconds=15), description="Past its deadline, before an open row is settled"
    )
    second_look: PositiveSpan = Field(
        timedelta(seconds=10), description="Between two looks at AWS that must agree before a failure is believed"
    )
    cloudtrail: Annotated[timedelta, Field(ge=timedelta(0))] = Field(
        timedelta(minutes=20),
        description="How long to wait for CloudTrail, where the role may ask it and the state tells nothing; 0: never",
    )
    sweep_interval: PositiveSpan = timedelta(seconds=5)
    drain: PositiveSpan = Field(timedelta(seconds=35), description="For requests in flight to finish after SIGTERM")
    drain_delay: Annotated[timedelta, Field(ge=timedelta(0))] = Field(
        timedelta(0), description="Between saying not ready and closing the listener, for load balancers to see it"
    )
    idempotency: PositiveSpan = Field(timedelta(hours=24), description="How long an Idempotency-Key is remembered")


class Settings(BaseSettings):
    """Everything an operator can set; times are ISO 8601 spans (`PT30S`) or seconds."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    trusted_proxies: tuple[IPvAnyNetwork, ...] = Field(
        (), description="Addresses or networks whose X-Forwarded-For is believed: the load balancers in front"
    )
    data_dir: Path = Path("data")
    own_namespace: str = Field("wharfinger", description="The namespace that wharfinger itself runs in")
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    bootstrap_key_file: Path | None = Field(
        None, description="A file with one whf_… key that becomes the first admin key"
    )
    default_registry: Name | None = None
    registries: tuple[RegistrySettings, ...] = ()
    clusters: tuple[ClusterSettings, ...] = ()
    jobs: JobSettings = JobSettings()
    rollouts: RolloutSettings = RolloutSettings()
    database: DatabaseSettings = DatabaseSettings()
    limits: LimitSettings = LimitSettings()
    deadlines: DeadlineSettings = DeadlineSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic-settings'
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = os.environ.get(FILE_VARIABLE)
        return (
            init_settings,
            env_settings,
            TomlConfigSettingsSource(settings_cls, Path(file) if file else DEFAULT_FILE),
        )

    @model_validator(mode="after")
    def _registries_agree(self) -> "Settings":
        names = [registry.name for registry in self.registries]
        if len(set(names)) != len(names):
            raise ValueError("registries: two have the same name")
        if self.default_registry is not None and self.default_registry not in names:
            raise ValueError(f"default_registry: {self.default_registry!r} is not among the registries {names}")
        return self

    @model_validator(mode="after")
    def _clusters_agree(self) -> "Settings":
        names = [cluster.name for cluster in self.clusters]
        if len(set(names)) != len(names):
            raise ValueError("clusters: two have the same name")
        registries = [registry.name for registry in self.registries]
        for cluster in self.clusters:
            if cluster.registry and cluster.registry not in registries:
                raise ValueError(
                    f"clusters: {cluster.name!r} names the registry {cluster.registry!r}, not {registries}"
                )
            if cluster.is_eks and (cluster.registry or self.registry_by_default) is None:
                raise ValueError(f"clusters: {cluster.name!r} needs a registry, or a kubeconfig")
        return self

    @property
    def registry_by_default(self) -> str | None:
        """The registry that is meant where none is named: the one set, or the only one."""
        if self.default_registry is None and len(self.registries) == 1:
            return self.registries[0].name
        return self.default_registry

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL, with the asynchronous driver named."""
        if self.database.url is None:
            return f"sqlite+aiosqlite:///{self.data_dir / 'wharfinger.db'}"
        return _with_driver(self.database.url)


def _with_driver(url: SecretStr) -> str:
    scheme, _, rest = url.get_secret_value().partition("://")
    return f"{_DRIVERS.get(scheme, scheme)}://{rest}"


def load() -> Settings:
    """Settings from the TOML file and the environment (which wins).

    :raises StartupError: an unknown or wrong setting, or a file that is named and can't be read.
    """
    file = os.environ.get(FILE_VARIABLE)
    if file and not Path(file).is_file():
        raise StartupError(f"{FILE_VARIABLE}: there is no file {file}")
    _refuse_unknown_variables()
    try:
        return Settings()
    except ValidationError as error:
        raise StartupError("\n".join(_explanations(error))) from None
    except TOMLDecodeError as error:
        raise StartupError(f"{file or DEFAULT_FILE} is not TOML: {error}") from None
    except (SettingsError, ValueError) as error:
        raise StartupError(str(error)) from None


def _refuse_unknown_variables() -> None:
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    for variable in os.environ:
        head = PREFIX + variable.upper().removeprefix(PREFIX).partition("__")[0]
        if variable.upper().startswith(PREFIX) and variable.upper() != FILE_VARIABLE and head not in known:
            raise StartupError(f"unknown setting {variable}{_nearest(head, known)}")


def _explanations(error: ValidationError) -> Iterator[str]:
    for mistake in error.errors(include_url=False, include_input=False):
        path = ".".join(str(part) for part in mistake["loc"])
        if mistake["type"] == "extra_forbidden":
            yield f"unknown setting {path}{_nearest(str(mistake['loc'][-1]), _names_beside(mistake['loc']))}"
        else:
            what = mistake["msg"].removeprefix("Value error, ")
            yield f"{path}: {what}" if path else what


def _names_beside(location: tuple[int | str, ...]) -> list[str]:
    model: Any = Settings
    for part in location[:-1]:
        if isinstance(part, str):
            annotation = model.model_fields[part].annotation
            model = {"registries": RegistrySettings, "clusters": ClusterSettings}.get(part, annotation)
    return list(model.model_fields)


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known are: {', '.join(known)}"
