"""The values of long work: a job, how it ends, and what is left of its many items."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row

from service.base.errors import ConflictError
from service.base.permits import Term
from service.models.jobs import JobState
from service.operations.calls import Json, Parent

_NEVER = datetime.min.replace(tzinfo=UTC)


class LostError(Exception):
    """The job is over, or another worker's: whoever works on it here has to stop, and writes nothing more."""


class LapsedError(LostError):
    """A request was held back, as the lease had ended: perhaps the job is another's by now, and perhaps nobody's."""


class CancelledJobError(Exception):
    """Somebody asked to end the job: raised in the midst of its run, which lets it through."""


class JobRunningError(ConflictError):
    """It is being done already: at most one job at a time is about the same."""

    code, title = "job_running", "This is being done already"


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its row said when it was read, or claimed: `epoch` is the number of that claim."""

    id: str
    kind: str
    key: str
    payload: Json
    state: JobState
    run_at: datetime
    attempts: int
    max_attempts: int | None
    epoch: int
    progress: Json | None
    error: Json | None
    actor: str
    actor_label: str
    request_id: str
    target: str
    created_at: datetime
    started_at: datetime | None
    cancel_requested_at: datetime | None
    finished_at: datetime | None
    term: Term = field(compare=False)
    """The lease as this process counts it: over, for one that was read and not claimed."""

    @property
    def parent(self) -> Parent:
        """By which its steps are recorded."""
        return Parent(self.id, self.actor, self.actor_label, self.request_id, self.target)

    @property
    def is_exhausted(self) -> bool:
        """Whether it was begun more often than it may be: each time, its worker went away without a word."""
        return self.max_attempts is not None and self.attempts > self.max_attempts


@dataclass(frozen=True, slots=True)
class Accepted:
    """A job that is in the table once the transaction commits. `Jobs.begin` takes it from there."""

    job: Job
    is_ours: bool
    """Born claimed by this replica."""
    superseded: str | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ends."""

    state: JobState
    data: Json
    """What its log says with it."""
    error: Json | None = None
    """`code` and `detail`, where it failed."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a job is tried, and the pauses in between: each twice as long as the one before, less a random part."""

    first: timedelta = timedelta(milliseconds=200)
    longest: timedelta = timedelta(seconds=30)
    attempts: int | None = None
    """None: until the job itself gives up."""


@dataclass(frozen=True, slots=True)
class Item:
    """One of the many things that a job does the same with."""

    number: int
    key: str


_COLUMNS = Job.__dataclass_fields__.keys() - {"term"}


def job_of(row: Row[Any], term: Term | None = None) -> Job:
    """:param term: of who claims it."""
    taken = {name: getattr(row, name) for name in _COLUMNS} | {"state": JobState(row.state)}
    return Job(**taken, term=term or Term(_NEVER))
