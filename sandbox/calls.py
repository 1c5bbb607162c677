"""The log of what was asked of the sandbox, as CloudTrail would have it."""

from collections import deque
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from sandbox.clock import CLOCK
from sandbox.places import Place

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


@dataclass(slots=True)
class Asked:
    """What a request turns out to be, filled in while it is answered."""

    service: str
    operation: str
    principal: str | None = None
    error: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)


class Calls:
    """The latest calls, oldest first; safe to read from another thread."""

    def __init__(self) -> None:
        self._kept: deque[Call] = deque(maxlen=_MOST_KEPT)

    def note(self, asked: Asked, user_agent: str, status: int, place: Place | None = None) -> None:
        """Keep what a request has turned out to be, now that it is answered."""
        facts = {one.name: getattr(asked, one.name) for one in fields(asked)}
        facts |= {"account": place.account if place else "", "region": place.region if place else ""}
        self._kept.append(Call(**facts, at=CLOCK.time(), user_agent=user_agent, status=status))

    def all(self) -> list[Call]:
        return list(self._kept)

    def forget(self) -> None:
        self._kept.clear()
