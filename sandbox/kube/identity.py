"""Who asks the cluster, and what EKS's access policies and the roles bound to their groups let them do.

Source: Amazon EKS User Guide, "Review access policy permissions".
"""

from dataclasses import dataclass

from sandbox.aws.eks.access_entries import Level

_READ = frozenset({"get", "list", "watch"})
_WRITE = frozenset({"create", "delete", "patch"})
_SHOWN = frozenset(
    {
        ("", "pods"),
        ("", "pods/status"),
        ("", "pods/log"),
        ("", "services"),
        ("", "services/status"),
        ("", "serviceaccounts"),
        ("", "configmaps"),
        ("", "namespaces"),
        ("", "namespaces/status"),
        ("", "resourcequotas"),
        ("", "resourcequotas/status"),
        ("apps", "deployments"),
        ("apps", "deployments/scale"),
        ("apps", "deployments/status"),
        ("apps", "replicasets"),
        ("apps", "replicasets/status"),
        ("policy", "poddisruptionbudgets"),
        ("policy", "poddisruptionbudgets/status"),
    }
)
"""What `view` reads: no secrets, no nodes."""
_EDITED = frozenset(
    {
        ("", "pods"),
        ("", "services"),
        ("", "serviceaccounts"),
        ("", "configmaps"),
        ("", "secrets"),
        ("apps", "deployments"),
        ("apps", "deployments/scale"),
        ("apps", "replicasets"),
        ("policy", "poddisruptionbudgets"),
    }
)


@dataclass(frozen=True, slots=True)
class Grant:
    """One access policy associated with an access entry; `namespaces` None is the whole cluster."""

    level: Level
    namespaces: tuple[str, ...] | None

    def covers(self, verb: str, group: str, resource: str, namespace: str | None) -> bool:
        if self.namespaces is not None and namespace not in self.namespaces:
            return False
        return _allows(self.level, verb, (group, resource))


@dataclass(frozen=True, slots=True)
class Rules:
    """Those of a ClusterRole that is bound in every namespace: (verb, API group, resource)."""

    allowed: frozenset[tuple[str, str, str]]

    def covers(self, verb: str, group: str, resource: str, _: str | None) -> bool:
        return (verb, group, resource) in self.allowed


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom the cluster took a token for."""

    username: str
    groups: tuple[str, ...]
    grants: tuple[Grant | Rules, ...]

    def may(self, verb: str, group: str, resource: str, namespace: str | None) -> bool:
        """`resource` names a subresource as `deployments/scale`; `namespace` of a Namespace object is its own name."""
        return any(grant.covers(verb, group, resource, namespace) for grant in self.grants)


def _allows(level: Level, verb: str, resource: tuple[str, str]) -> bool:
    if level == "cluster-admin":
        return True
    if level == "admin-view":
        return verb in _READ
    if verb in _READ:
        return resource in _SHOWN or (level != "view" and resource in _EDITED)
    return verb in _WRITE and level != "view" and resource in _EDITED
