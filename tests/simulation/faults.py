"""What may happen to one attempt on its way to AWS and back, drawn by the seed and the attempt's own name.

A draw depends on nothing that was drawn before, so that a history stays the same where it is cut short.
"""

from dataclasses import dataclass
from enum import StrEnum
from random import Random

import aiohttp

LATEST = 14.0
"""Seconds after its deadline, within which AWS acts on an attempt or never: less than the grace of settling."""
STALEST = 9.9
"""Seconds that a read may lag behind: two looks ten seconds apart can't both be stale."""
READ_TIMEOUT, CONNECT_TIMEOUT = 10.0, 3.0


class Fate(StrEnum):
    ANSWERED = "answered"
    UNREACHABLE = "never connected: refused"
    CONNECT_TIMEOUT = "never connected: timed out"
    RESET = "reset by the peer (RST)"
    CLOSED = "closed without an answer (FIN)"
    HALF_BODY = "cut off within the answer"
    GARBLED = "answered with garbage"
    SILENT = "no answer before the time-out"
    THROTTLED = "refused: throttled"
    SERVER_ERROR = "refused: 500"


_NEVER_ACTS = frozenset({Fate.UNREACHABLE, Fate.CONNECT_TIMEOUT, Fate.THROTTLED})
_ALWAYS_ACTS = frozenset({Fate.ANSWERED, Fate.HALF_BODY, Fate.GARBLED})
_BAD = tuple(fate for fate in Fate if fate is not Fate.ANSWERED)
_BAD_FOR_CHANGES = (*_BAD, Fate.SILENT, Fate.SILENT)
"""What comes late is what settling is hardest for."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One attempt's fate: it reaches AWS after `travel` seconds, if it does, and the caller knows after `returns`."""

    fate: Fate
    acts: bool
    travel: float
    returns: float
    lag: float
    """How far a read looks back."""


@dataclass(frozen=True, slots=True)
class Faults:
    """How rough the sea is in one history; `calm` names attempts that are spared."""

    seed: int
    rate: float
    read_rate: float
    """Of reads: where these go wrong as often, little is ever begun."""
    until: float
    calm: frozenset[str] = frozenset()

    def draw(self, name: str, now: float, *, is_read: bool, latest: float) -> Draw:
        """:param latest: seconds after which AWS no longer acts on it."""
        random = Random(f"{self.seed}/{name}")  # noqa: S311 - to be repeated, not to be unforeseeable
        rate = self.read_rate if is_read else self.rate
        is_bad = random.random() < rate and now < self.until and name not in self.calm
        fate = random.choice(_BAD if is_read else _BAD_FOR_CHANGES) if is_bad else Fate.ANSWERED
        acts = fate in _ALWAYS_ACTS or (fate not in _NEVER_ACTS and random.random() < 0.6)
        travel = random.choice((0.01, 0.05, 0.3)) * (1 + random.random())
        returns = travel + 0.05 * random.random()
        if fate is Fate.SILENT:
            travel, returns = random.uniform(random.choice((0.01, max(latest - 3, 0.01))), latest), READ_TIMEOUT
        if fate is Fate.CONNECT_TIMEOUT:
            returns = CONNECT_TIMEOUT
        return Draw(fate, acts, travel, returns, self._lag(name, now))

    def _lag(self, name: str, now: float) -> float:
        """Of each read for itself, or of all that one asks: two of them may differ, or agree on what was long ago."""
        who = name.partition("/")[0]
        random = Random(f"{self.seed}/{Random(name).choice((name, who))}/lag")  # noqa: S311 - as above
        is_stale = random.random() < self.rate and name not in self.calm and now < self.until + STALEST
        return random.uniform(random.choice((0, STALEST - 1)), STALEST) if is_stale else 0.0

    def pace(self, name: str) -> float:
        """Seconds that the database takes."""
        return Random(f"{self.seed}/{name}/pace").choice((0.002, 0.002, 0.02, 0.3))  # noqa: S311 - as above


def database_fault(faults: Faults, name: str, now: float) -> str | None:
    """`away`: nothing was written; `lost`: it was committed, and the acknowledgement was lost."""
    random = Random(f"{faults.seed}/{name}")  # noqa: S311 - as above
    if now >= faults.until or name in faults.calm or random.random() >= faults.rate / 8:
        return None
    return random.choice(("away", "lost"))


class _Place:
    """Of aiohttp's connection key, what an error says."""

    host, port, ssl = "ecr.eu-central-1.amazonaws.com", 443, True


def error_of(fate: Fate) -> Exception | None:  # noqa: PLR0911 - a table of fates
    """What aiohttp raises from a request of that fate."""
    place: object = _Place()
    match fate:
        case Fate.UNREACHABLE:
            return aiohttp.ClientConnectorError(place, OSError(111, "Connection refused"))  # type: ignore[arg-type]
        case Fate.CONNECT_TIMEOUT:
            return aiohttp.ConnectionTimeoutError("Connection timeout to host")
        case Fate.RESET:
            return aiohttp.ClientOSError(104, "Connection reset by peer")
        case Fate.CLOSED:
            return aiohttp.ServerDisconnectedError()
        case Fate.HALF_BODY:
            return aiohttp.ClientPayloadError("Response payload is not completed")
        case Fate.SILENT:
            return aiohttp.SocketTimeoutError("Timeout on reading data from socket")
    return None
