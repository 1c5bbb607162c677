"""The log of what was asked of the sandbox, as CloudTrail would have it."""

from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

_MOST_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Call:
    """One request: `service` is ecr, sts, registry (the OCI API) or one of moto's; `error` is its code, or None."""

    service: str
    operation: str
    account: str
    region: str
    at: float
    """Seconds since 1970, by the sandbox's clock."""
    principal: str | None
    user_agent: str
    status: int
    error: str | None
    parameters: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Calls:
    """The latest calls, oldest first; safe to read from another thread."""

    def __init__(self) -> None:
        self._kept: deque[Call] = deque(maxlen=_MOST_KEPT)

    def note(self, call: Call) -> None:
        self._kept.append(call)

    def all(self) -> list[Call]:
        return list(self._kept)

    def forget(self) -> None:
        self._kept.clear()


@dataclass(slots=True)
class Asked:
    """What a request turns out to be, filled in while it is answered."""

    service: str
    operation: str
    principal: str | None = None
    error: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
