"""What a kind of long work declares of itself."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from service.operations.calls import Json
from service.operations.jobs.values import Ending, Job, Retry
from service.operations.jobs.work import Work

OnEnd = Callable[[AsyncConnection, Job, Ending], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of long work. Every replica that is to work on it registers it."""

    name: str
    run: Callable[[Work], Awaitable[Json | None]]
    """Does what is left of a job, and gives what came of it. It is begun again from its start after a takeover or a
    pause. An error that is retryable is such a pause, any other is the job's end; `LostError` and `CancelledJobError`
    are to be let through."""
    lease: timedelta = timedelta(seconds=5)
    """Within it, the job of a replica that died goes on elsewhere."""
    longest: timedelta = timedelta(days=1)
    """How long a job may take from when it was first begun, pauses included. Past it no step and no item is begun, and
    the job fails: its key is not held for good by a run that never ends."""
    concurrency: int = 16
    """How many one replica claims. Those that it accepts itself come on top: a request does not wait for them."""
    retry: Retry = field(default_factory=Retry)
    fails_on_defect: bool = True
    """Whether an unexpected exception is the job's end; else it is an attempt like another."""
    ends_when_cancelled: bool = False
    """Whether to cancel a job ends it at once, whoever works on it; else the worker is asked to end it."""
    may_repeat: bool = True
    """Whether one that ended without success may be done again as it was asked for; else it is asked for anew."""
    on_end: OnEnd | None = None
    """Writes to the kind's own tables, in the transaction that ends a job in any way but by `Work.finish`."""
