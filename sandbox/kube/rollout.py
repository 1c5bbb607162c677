"""The arithmetic of a Deployment: how many pods of which ReplicaSet. No I/O.

Source: Kubernetes, pkg/controller/deployment, and the Deployment's API reference.
"""

import math
from dataclasses import dataclass

from sandbox.kube.store import Object


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a rollout may leave the wanted number of pods."""

    replicas: int
    max_surge: int
    max_unavailable: int

    @classmethod
    def of(cls, deployment: Object) -> "Limits":
        """Percentages are of the replicas: the surge rounded up, the unavailable down."""
        replicas = deployment["spec"].get("replicas", 1)
        if is_recreate(deployment) or replicas == 0:
            return cls(replicas, 0, 0)
        rolling = deployment["spec"].get("strategy", {}).get("rollingUpdate") or {}
        surge = _count(rolling.get("maxSurge", "25%"), replicas, is_up=True)
        unavailable = _count(rolling.get("maxUnavailable", "25%"), replicas, is_up=False)
        # Neither would let nothing ever move.
        return cls(replicas, surge, min(unavailable if surge or unavailable else 1, replicas))

    @property
    def most(self) -> int:
        return self.replicas + self.max_surge

    @property
    def fewest_available(self) -> int:
        return self.replicas - self.max_unavailable


def is_recreate(deployment: Object) -> bool:
    return bool(deployment["spec"].get("strategy", {}).get("type") == "Recreate")


def size(replica_set: Object) -> int:
    """How many pods the ReplicaSet is to have."""
    return int(replica_set["spec"].get("replicas", 1))


def count(replica_sets: list[Object], name: str) -> int:
    """The sum of a count over the statuses."""
    return sum(one.get("status", {}).get(name, 0) for one in replica_sets)


def grown(limits: Limits, new: Object, every: list[Object]) -> int:
    """The size of the new ReplicaSet as far as the surge lets it grow now."""
    room = limits.most - sum(map(size, every))
    if size(new) > limits.replicas:
        return limits.replicas
    return size(new) + max(0, min(room, limits.replicas - size(new)))


def shrunk(limits: Limits, new: Object, old: list[Object]) -> dict[str, int]:
    """Sizes of the old ReplicaSets, oldest first, as far as enough pods stay available; only those that change."""
    unavailable_new = size(new) - count([new], "availableReplicas")
    spare = sum(map(size, [new, *old])) - limits.fewest_available - unavailable_new
    sizes = {one["metadata"]["name"]: size(one) for one in old}
    before = dict(sizes)
    # Pods that serve nobody go first, and cost no availability.
    for one in old:
        idle = min(spare, size(one) - count([one], "availableReplicas"))
        if idle > 0:
            sizes[one["metadata"]["name"]] -= idle
            spare -= idle
    spare = min(spare, count([new, *old], "availableReplicas") - limits.fewest_available)
    for name, present in sizes.items():
        fewer = max(0, min(spare, present))
        sizes[name] -= fewer
        spare -= fewer
    return {name: wanted for name, wanted in sizes.items() if wanted != before[name]}


def scaled(limits: Limits, active: list[Object]) -> dict[str, int]:
    """Sizes after the Deployment was scaled amid a rollout: each ReplicaSet gets its share, the largest the rest."""
    allowed = limits.most if limits.replicas else 0
    total = sum(map(size, active))
    missing = allowed - total
    ranked = sorted(active, key=size, reverse=True)
    sizes = {}
    left = missing
    for one in ranked:
        share = round(size(one) * allowed / total) - size(one)
        part = min(max(share, left), 0) if missing < 0 else max(min(share, left), 0)
        sizes[one["metadata"]["name"]] = size(one) + part
        left -= part
    if ranked:
        name = ranked[0]["metadata"]["name"]
        sizes[name] = max(0, sizes[name] + left)
    return sizes


def _count(value: int | str, replicas: int, *, is_up: bool) -> int:
    if isinstance(value, int):
        return value
    if not value.endswith("%"):
        return int(value)
    exact = int(value[:-1]) * replicas / 100
    return math.ceil(exact) if is_up else math.floor(exact)
