"""Leave to change something outside: given by an open operation, looked for by every client before it sends.

Past its term nothing is sent by it. Clients look twice: before a request is begun, and as it goes out, since it may
have waited in between: for a connection, for credentials, or with the whole process.
"""

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime

from service.base.clock import utcnow
from service.base.errors import DeadlineError


@dataclass(slots=True)
class Term:
    """How long one may act: a request until its deadline, the worker of a job until its lease ends.

    By a clock that counts what a suspended machine sleeps, as the loop's does not: meanwhile a sweep may have settled
    the operation, or another replica have claimed the job.
    """

    until: datetime
    """Whoever keeps a lease moves it on."""

    @property
    def is_over(self) -> bool:
        return utcnow() > self.until


@dataclass(slots=True)
class Permit:
    """Leave to change something outside, given by an open operation, and what became of the requests it let through."""

    operation_id: str
    term: Term
    applied: Sequence[str] = ()
    """What an operation before, under the same key, did already: this one continues it."""
    is_sent: bool = False
    is_doubtful: bool = False
    """An attempt of the last call ended without a definite answer, so AWS may have acted on it or may still."""
    is_held_back: bool = False
    """A request was not sent, as the term was over."""

    def require_time(self) -> None:
        """:raises DeadlineError: the term is over."""
        if self.term.is_over:
            self.is_held_back = True
            raise DeadlineError("The deadline passed before this was sent.", retry_after=5)


permit: ContextVar[Permit | None] = ContextVar("permit", default=None)
