"""One history's outside: AWS as it stands and stood, what acted on it, and the log of all that happened."""

from collections.abc import Iterator
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field

from tests.simulation import aws_model
from tests.simulation.aws_model import Json, RefusalError, State
from tests.simulation.faults import Faults
from tests.simulation.virtual_time import VirtualLoop

asking: ContextVar[str] = ContextVar("asking", default="?")
"""On whose behalf something is done: a request or a sweep of the plan."""

OUTSIDER = "outsider"


@dataclass(frozen=True, slots=True)
class Entry:
    at: float
    who: str
    text: str

    def __str__(self) -> str:
        return f"{self.at:9.3f}s  {self.who:<12} {self.text}"


@dataclass(frozen=True, slots=True)
class Effect:
    """A mutation that AWS took: whose, when, and what it made of the state."""

    at: float
    operation_id: str
    call: str
    repository: str
    before: State
    after: State

    @property
    def is_change(self) -> bool:
        """Whether anything is otherwise than it was; a vended credential always is."""
        return self.call == "GetAuthorizationToken" or self.before != self.after


@dataclass(frozen=True, slots=True)
class Look:
    """A read that AWS answered: whose, when, and the state that it showed, which may be an older one."""

    at: float
    who: str
    state: State


@dataclass(slots=True)
class World:
    loop: VirtualLoop
    faults: Faults
    state: State
    entries: list[Entry] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    unrecorded: list[str] = field(default_factory=list)
    """Mutations that were sent outside an open operation."""
    late: list[str] = field(default_factory=list)
    """Mutations that were sent past the deadline of who asked for them."""
    timeline: list[tuple[float, State]] = field(default_factory=list)
    deadlines: dict[str, float] = field(default_factory=dict)
    """By who asks."""
    names: list[str] = field(default_factory=list)
    """Of all attempts at AWS and at the database, in order."""
    context: Context = field(default_factory=copy_context)
    """Of nobody's replica: AWS acts though who asked it is dead or stands still."""
    _counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.timeline.append((float("-inf"), self.state))

    def note(self, text: str, who: str | None = None) -> None:
        self.entries.append(Entry(self.loop.now, who or asking.get(), text))

    def name(self, what: str) -> str:
        """`what`, on behalf of whom, and how often that was before: the same in every run."""
        name = f"{asking.get()}/{what}"
        self._counts[name] = self._counts.get(name, 0) + 1
        self.names.append(f"{name}/{self._counts[name]}")
        return self.names[-1]

    @property
    def is_late(self) -> bool:
        """Whether the time of what is asked now is up."""
        return self.loop.now > self.deadlines.get(asking.get(), float("inf"))

    def left(self, grace: float) -> float:
        """Seconds until the deadline of what is asked now, and `grace` after it; but never less than that."""
        ends = self.deadlines.get(asking.get(), 0.0)
        return max(ends - self.loop.now, 0.0) + grace

    def read(self, who: str, call: str, asked: Json, lag: float) -> Json:
        """:raises RefusalError: as AWS would."""
        now = self.loop.now
        state = self.at(now - lag)
        self.looks.append(Look(now, who, state))
        return aws_model.read(call, asked, state)

    def write(self, operation_id: str, call: str, asked: Json) -> Json:
        """:raises RefusalError: as AWS would; nothing is changed."""
        now, before = self.loop.now, self.state
        self.state, answer = aws_model.write(call, asked, before, now)
        self.timeline.append((now, self.state))
        self.effects.append(Effect(now, operation_id, call, aws_model.name_of(asked), before, self.state))
        return answer

    def vend(self, operation_id: str) -> None:
        self.effects.append(Effect(self.loop.now, operation_id, "GetAuthorizationToken", "", self.state, self.state))

    def outsider(self, call: str, asked: Json) -> None:
        """Somebody changes something past wharfinger."""
        try:
            self.write(OUTSIDER, call, asked)
        except RefusalError as error:
            self.note(f"{call} refused: {error.code}", OUTSIDER)
        else:
            self.note(f"{call} {aws_model.name_of(asked)}", OUTSIDER)

    def at(self, when: float) -> State:
        return next(state for since, state in reversed(self.timeline) if since <= when)

    def between(self, start: float, end: float) -> Iterator[State]:
        """Every state that there was from `start` to `end`."""
        yield self.at(start)
        yield from (state for since, state in self.timeline if start < since <= end)
