"""The values of a change: who asks for it, what is about to be done, and what came of it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from service.access.actions import Action
from service.access.authz import Caller, Target
from service.base.deadlines import Deadline
from service.base.errors import PreconditionError
from service.models.audit import Status
from service.models.common import Model

Json = dict[str, Any]
M = TypeVar("M", bound=Model)
T_co = TypeVar("T_co", covariant=True)
Write = Callable[[AsyncConnection], Awaitable[None]]
"""Changes our own tables in the transaction that completes an operation. It may refuse by raising a typed error: then
nothing of it is true, and the operation failed. It may be called again, after a transaction that was lost."""


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request, as far as a service needs to know it."""

    caller: Caller
    request_id: str
    deadline: Deadline
    fingerprint: str = ""
    idempotency_key: str | None = None
    if_match: str | None = None
    client_address: str | None = None

    def require_match(self, etag: str | None, what: str) -> None:
        """:param etag: of what is there now, in its quotes; None: nothing is.

        :raises PreconditionError: `If-Match` names other states alone (RFC 9110, section 13.1.1).
        """
        if self.if_match is None:
            return
        named = {one.strip() for one in self.if_match.split(",")}
        if etag is None or not named & {"*", etag}:
            raise PreconditionError(f"{what} has changed since its ETag was read.")


@dataclass(frozen=True, slots=True)
class Intent(Generic[T_co]):
    """What is about to be done. `request` is all that is needed to settle it later, without secrets."""

    action: Action
    target: Target
    request: Json
    restore: Callable[[Json], T_co] | None
    """Makes the caller's value of what the row has, for a repeat. None: it has a secret, which is shown once."""
    requires: Sequence[tuple[Action, Target | None]] = ()
    """What the caller must be allowed to do, where that is not `action` on `target`; None: anywhere at all."""
    targets: Sequence[Target | str] = ()
    """What it is about, where that is more than `target`: it is found by each of them."""
    keeps_before: bool = False
    """Whether what was there before is kept (`Operations.keep`) before AWS is asked."""
    is_harmless_twice: bool = False
    """Whether to do it once more does no harm, though no Idempotency-Key says that it is the same."""


def nothing(_: Json) -> None:
    """Restores the value of a change that answers nothing."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T_co]):
    """What came of it, and what becomes true of our own tables in the same commit as the row."""

    result: Json
    """What the row keeps."""
    value: T_co = field(repr=False)
    """What the caller gets, and nobody else: it may be a secret."""
    write: Write | None = None

    @staticmethod
    def of(model: M) -> "Outcome[M]":
        """Of what is recorded as it is answered."""
        return Outcome(model.model_dump(mode="json"), model)

    @staticmethod
    def empty(write: Write | None = None) -> "Outcome[None]":
        """Of what answers nothing."""
        return Outcome({}, None, write)


@dataclass(frozen=True, slots=True)
class Done(Generic[T_co]):
    """What was done, now or by an earlier request."""

    operation_id: str
    value: T_co = field(repr=False)
    is_replayed: bool = False


@dataclass(frozen=True, slots=True)
class Open:
    """An operation whose outcome is not recorded yet, as far as settling it needs."""

    id: str
    action: Action
    registry: str | None
    request: Json
    before: Json | None = None
    """What was there before it, by the action's own way of saying it; None where that is not known."""
    applied: Sequence[str] = ()
    """What an operation before it, under the same key, did already."""
    is_unsent: bool = False
    """AWS was not asked yet: what was there before is kept first."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What was found out about an operation whose answer was lost."""

    status: Status
    note: str
    result: Json | None = None
    found: Json | None = None
    """What AWS has now, where that was looked at."""
    if_done: Json | None = None
    """The operation's answer, where something else should prove that it was done."""
    is_certain: bool = False
    """It follows from our own rows, and not from what AWS answered, which may be stale."""


@dataclass(frozen=True, slots=True)
class Twin:
    """The operation that an Idempotency-Key stands for already."""

    id: str
    fingerprint: str
    status: Status
    result: Json | None
    note: str | None = None

    @property
    def applied(self) -> Sequence[str]:
        """What it did, where it did a part."""
        return tuple((self.result or {}).get("applied", ()))


@dataclass(frozen=True, slots=True)
class Parent:
    """The operation that a job works for, as far as its steps are recorded like it."""

    id: str
    actor: str
    actor_label: str
    request_id: str
    target: str


@dataclass(frozen=True, slots=True)
class Child:
    """A step of a job, as recorded before."""

    id: str
    status: Status
    code: str | None
    note: str | None
    result: Json | None = None
