"""`/v1/tokens`."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, Field, StrictInt, StringConstraints, model_validator

from service.models.common import Model
from service.models.references import REPOSITORY_PATTERN

SESSION_SECONDS = 3600
"""STS caps a session at one hour under role chaining, which is how a service that runs on a role assumes another."""

LEAST_LEFT = timedelta(minutes=15)
"""With less time left, a credential is given only to who asks for less: a slow build must not end in a refusal."""


class TokenAction(StrEnum):
    """What a credential is for."""

    PULL = "pull"
    PUSH = "push"


class TokenScope(StrEnum):
    """Whether it is for named repositories or for all."""

    REPOSITORIES = "repositories"
    REGISTRY = "registry"


RepositoryScope = Annotated[
    str,
    StringConstraints(pattern=REPOSITORY_PATTERN.removesuffix("$") + r"(?:/\*)?$", min_length=2, max_length=256),
    Field(
        examples=["team/app"], description="A repository, or with `/*` all that are below a prefix, present or to come"
    ),
]


class TokenRequest(Model):
    """What the credential is to reach, and no more."""

    repositories: tuple[RepositoryScope, ...] = Field((), max_length=100, examples=[["myapp"], ["team/*"]])
    actions: frozenset[TokenAction] = Field(min_length=1, examples=[["pull", "push"]])
    scope: TokenScope = Field(TokenScope.REPOSITORIES, description="`registry` must be asked for, and is for admins")
    min_seconds: StrictInt = Field(
        round(LEAST_LEFT.total_seconds()),
        ge=60,
        le=SESSION_SECONDS - 60,
        description="How long it has to be good for, at the least: of the one that is known already, too",
    )

    @model_validator(mode="after")
    def _scope_fits(self) -> Self:
        if (self.scope is TokenScope.REGISTRY) == bool(self.repositories):
            raise ValueError("name repositories, or ask for scope registry without naming any")
        return self


class Token(Model):
    """A docker login. It ends with the session it came from: an hour at most under role chaining."""

    username: str = Field(examples=["AWS"])
    password: str
    registry: str
    host: str = Field(
        description="What `docker login` names", examples=["111111111111.dkr.ecr.eu-central-1.amazonaws.com"]
    )
    expires_at: AwareDatetime
    scope: TokenScope
    repositories: tuple[str, ...]
    actions: tuple[TokenAction, ...]


class DockerLogin(BaseModel):
    """A login at one host."""

    auth: str = Field(description="`USER:PASSWORD` in base64")


class DockerConfig(BaseModel):
    """A `config.json` of docker, for this registry alone."""

    auths: dict[str, DockerLogin] = Field(description="By the registry's host")
