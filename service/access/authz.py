"""Who may do what: one pure function over one table, whose full matrix is a snapshot in the tests."""

from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.access.actions import GRANTS, Action, Role
from service.base.errors import ForbiddenError, NotFoundError

EVERY = "*"
_SCOPE = r"^(\*|[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)$"
_SIDES = (("registry", "repository"), ("cluster", "namespace"))


class Binding(BaseModel):
    """A role and where it holds: a prefix of repository names (whole segments) in a registry, a namespace in a cluster.

    Of these two sides, naming one leaves the other at none (null): it is reached only if written out, with `*`. The
    half of a side that is not named is `*`. With none of the four named, the role holds everywhere.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Role
    repository: str | None = Field(None, pattern=_SCOPE, max_length=256, examples=["team"])
    registry: str | None = Field(None, pattern=_SCOPE, max_length=64)
    cluster: str | None = Field(None, pattern=_SCOPE, max_length=100)
    namespace: str | None = Field(None, pattern=_SCOPE, max_length=63)

    @model_validator(mode="before")
    @classmethod
    def _spread(cls, given: Any) -> Any:  # noqa: ANN401 - what somebody sent
        if not isinstance(given, dict):
            return given
        named = [side for side in _SIDES if any(part in given for part in side)]
        return {part: EVERY for side in named or _SIDES for part in side} | given

    @model_validator(mode="after")
    def _has_whole_sides(self) -> Self:
        for side in _SIDES:
            missing = [part for part in side if getattr(self, part) is None]
            if len(missing) == 1:
                raise ValueError(
                    f"{missing[0]} must not be null beside the other half of its pair, {' and '.join(side)}"
                )
        if self.registry is None and self.cluster is None:
            raise ValueError("names neither a registry's side nor a cluster's, so it would hold nowhere")
        return self

    @property
    def is_lopsided(self) -> bool:
        """Whether one side is bounded and the other has no bound at all."""
        bounds = [{getattr(self, part) for part in side} - {EVERY} for side in _SIDES]
        return any(bounds) and not all(bounds)


@dataclass(frozen=True, slots=True)
class Target:
    """What an action is about: something in a registry or in a cluster; with neither set, wharfinger as a whole.

    A repository or namespace that is None stands for all of them, which only a binding to `*` covers. `name` is that of
    a workload in a namespace, which bindings do not tell apart. `key` is the id of an API key, `job` that of long work;
    they are no part of any registry or cluster.
    """

    registry: str | None = None
    repository: str | None = None
    cluster: str | None = None
    namespace: str | None = None
    name: str | None = None
    key: str | None = None
    job: str | None = None

    def __str__(self) -> str:
        parts = (self.registry, self.cluster, self.namespace, self.name, self.repository, self.key, self.job)
        return "/".join(part for part in parts if part) or "*"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking. Only `service/access/identity.py` makes one, from a verified key."""

    id: str
    label: str
    bindings: tuple[Binding, ...]


def granting(caller: Caller, action: Action) -> tuple[Binding, ...]:
    """Those of the caller's bindings that grant `action`, each on what it covers."""
    return tuple(binding for binding in caller.bindings if binding.role in GRANTS[action])


def is_allowed(caller: Caller, action: Action, target: Target | None) -> bool:
    """Whether one of the caller's bindings grants `action` on `target`; without a target, anywhere at all."""
    return any(target is None or _covers(binding, target) for binding in granting(caller, action))


def require(caller: Caller, action: Action, target: Target | None) -> None:
    """Let the caller pass, or say no without telling more than they may know.

    :raises ForbiddenError: they may read it, but not do this.
    :raises NotFoundError: they may not know that it exists.
    """
    if is_allowed(caller, action, target):
        return
    if target is not None and target.registry:
        require_registry(caller, target.registry)
    if target is not None and target.cluster:
        require_cluster(caller, target.cluster)
    if target is not None and target.repository and not is_allowed(caller, Action.REPOSITORY_READ, target):
        raise NotFoundError("repository", target.repository)
    if target is not None and target.cluster and not is_allowed(caller, Action.DEPLOYMENT_READ, target):
        raise NotFoundError("namespace", f"{target.cluster}/{target.namespace}")
    raise ForbiddenError(f"No binding of {caller.label!r} grants {action} on {target or 'anything'}.")


def reaches_registry(caller: Caller, name: str) -> bool:
    return any(_is_in(binding.registry, name) for binding in caller.bindings)


def reaches_cluster(caller: Caller, name: str) -> bool:
    return any(_is_in(binding.cluster, name) for binding in caller.bindings)


def require_registry(caller: Caller, name: str) -> None:
    """:raises NotFoundError: no binding reaches the registry: as if it were not there."""
    if not reaches_registry(caller, name):
        raise no_registry()


def require_cluster(caller: Caller, name: str) -> None:
    """:raises NotFoundError: no binding reaches the cluster: as if it were not there."""
    if not reaches_cluster(caller, name):
        raise NotFoundError("cluster", name)


def no_registry() -> NotFoundError:
    """There is none, or none that the caller may know of. Without its name, which may be that of the default one."""
    return NotFoundError("registry", None, why="Neither by name nor by default.")


def _covers(binding: Binding, target: Target) -> bool:
    if target.cluster is not None:
        return _is_in(binding.cluster, target.cluster) and _is_in(binding.namespace, target.namespace)
    if target.registry is not None:
        return _is_in(binding.registry, target.registry) and _covers_prefix(binding.repository, target.repository)
    return {binding.repository, binding.registry, binding.cluster, binding.namespace} == {EVERY}


def _is_in(bound: str | None, name: str | None) -> bool:
    return bound == EVERY or (bound is not None and bound == name)


def _covers_prefix(prefix: str | None, name: str | None) -> bool:
    return _is_in(prefix, name) or (prefix is not None and name is not None and name.startswith(prefix + "/"))
