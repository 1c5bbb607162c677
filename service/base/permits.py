"""Leave to change something outside: given by an open operation, looked for by every client before it sends."""

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime


@dataclass(slots=True)
class Permit:
    """Leave to change something at AWS, given by an open operation, and what became of the requests it let through."""

    operation_id: str
    until: datetime | None = None
    """A process that slept past it must send nothing, as a sweep may have settled the operation. By the clock that the
    sweep goes by: the loop's does not count what a suspended machine sleeps. None: a step of a job, whose row no
    sweep settles; the job's epoch holds its record back, and the object's resourceVersion the step itself."""
    applied: Sequence[str] = ()
    """What an operation before, under the same key, did already: this one continues it."""
    is_sent: bool = False
    is_doubtful: bool = False
    """An attempt of the last call ended without a definite answer, so AWS may have acted on it or may still."""


permit: ContextVar[Permit | None] = ContextVar("permit", default=None)
