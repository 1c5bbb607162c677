"""Every change goes through here: recorded before it is made, made once, and its outcome recorded after.

    record the intent (commit) -> authorise -> replay? -> act (no transaction open) -> record the outcome (commit)

Authorisation is a pure function of what is already loaded, so a refusal and its row are one commit. An action that
changes what is there already also keeps, before AWS is asked to, what that is: without it nobody could tell later
whether AWS acted, or whether somebody else did.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TypeVar

import stamina
import structlog

from service.access import authz
from service.access.actions import Action
from service.base.deadlines import unbounded
from service.base.errors import (
    AnswerLostError,
    ConflictError,
    DatabaseError,
    DeadlineError,
    ForbiddenError,
    InProgressError,
    InternalError,
    InvalidError,
    NotFoundError,
    OutcomeUnknownError,
    PartialError,
    UndeterminedError,
    WharfingerError,
)
from service.base.permits import Permit, Term, permit
from service.models.audit import Status
from service.operations.calls import Call, Done, Intent, Json, Open, Outcome, Settled, Twin
from service.operations.ledger import Ledger

T = TypeVar("T")
Act = Callable[[str], Awaitable[Outcome[T]]]
"""Makes the change; it is told the operation's id, to leave it on what it makes."""

Settler = Callable[[Open], Awaitable[Settled | None]]
"""Says what became of an open operation; None where that can't be told now."""

_RETRY_AFTER = 5


@dataclass(frozen=True, slots=True)
class Settling:
    """How operations of an action are settled when AWS's answer to them is lost: each area's `settling` has its own."""

    settler: Settler
    looks: bool = False
    """It asks AWS, which takes time and may read back stale: what is not a success must be seen twice."""
    proves: bool = False
    """Where it finds a success, that is this operation's own doing."""
    call: str | None = None
    """AWS's name for the one thing that it does, by which CloudTrail knows it."""


log = structlog.get_logger()


class Operations:
    """Runs changes, and knows how each kind is settled when AWS's answer to it is lost."""

    def __init__(self, *, ledger: Ledger) -> None:
        self._ledger = ledger
        self._settlings: dict[Action, Settling] = {}

    def settles(self, settlings: Mapping[Action, Settling]) -> None:
        """Settle operations of these actions so; what was said of an action before is replaced."""
        self._settlings |= settlings

    def call_of(self, action: Action) -> str | None:
        """AWS's name for what an action does, where that is one call."""
        return self._settlings[action].call

    @property
    def looking_actions(self) -> Collection[Action]:
        """Those that this version settles by looking at AWS: a replica of another version may have opened others."""
        return {action for action, settling in self._settlings.items() if settling.looks}

    @property
    def told_actions(self) -> Collection[Action]:
        """Those that this version settles without asking AWS."""
        return self._settlings.keys() - self.looking_actions

    async def run(self, call: Call, intent: Intent[T], act: Act[T]) -> Done[T]:
        """Do what `intent` says by calling `act`, once, with everything about it in the audit trail.

        :raises WharfingerError: refused, or it failed and nothing was changed.
        :raises PartialError: some of it was changed; the error says what.
        :raises OutcomeUnknownError: it may have been done; the row stays open until it is settled.
        """
        await self._authorise(call, intent)
        if call.idempotency_key is None:
            return await self._act(call, intent, await self._ledger.open(call, intent), act)
        opened = await self._ledger.open_with_key(call, intent)
        if not isinstance(opened, Twin):
            return await self._act(call, intent, opened, act)
        if opened.fingerprint != call.fingerprint:
            raise InvalidError("This Idempotency-Key came with another request before.", code="idempotency_key_reused")
        if opened.status == Status.PARTIAL and (continued := await self._ledger.continue_from(call, intent, opened)):
            return await self._act(call, intent, continued, act, applied=opened.applied)
        return await self._replay(call, intent, opened)

    async def keep(self, operation_id: str, before: Json) -> None:
        """Keep what was there before, durably, and only then may AWS be asked to change it.

        :raises OutcomeUnknownError: a sweep has taken the operation over, so it may not act any more.
        """
        leave = permit.get()
        if not await self._ledger.keep(operation_id, before, leave.applied if leave else ()):
            raise _unknown(operation_id)

    async def record(self, call: Call, intent: Intent[T], outcome: Outcome[T]) -> Done[T]:
        """Record a change that asks nothing of AWS, with its outcome: durable when this returns."""
        await self._authorise(call, intent)
        made = await self._ledger.record(call, intent, Status.SUCCEEDED, result=outcome.result)
        return Done(made, outcome.value)

    async def settle(self, operation: Open) -> Settled | None:
        """What became of an open operation; None where that can't be told now."""
        if operation.is_unsent:
            return _unsent(operation)
        try:
            return await self._settlings[operation.action].settler(operation)
        except WharfingerError as error:
            log.warning("not_settled", operation=operation.id, code=error.code)
        except Exception:
            # One row that trips over a defect must not keep all the others open.
            log.exception("not_settled", operation=operation.id)
        return None

    async def _authorise(self, call: Call, intent: Intent[object]) -> None:
        try:
            for action, target in intent.requires or ((intent.action, intent.target),):
                authz.require(call.caller, action, target)
        except (ForbiddenError, NotFoundError) as error:
            await self._ledger.record(call, intent, Status.REFUSED, code=error.code)
            raise

    async def _replay(self, call: Call, intent: Intent[T], twin: Twin) -> Done[T]:
        try:
            value = await self._restored(call, intent, twin)
        except (UndeterminedError, InProgressError, ConflictError) as error:
            await self._ledger.record(call, intent, Status.REFUSED, code=error.code, replay_of=twin.id)
            raise
        await self._ledger.record(call, intent, Status.REPLAYED, replay_of=twin.id)
        return Done(twin.id, value, is_replayed=True)

    async def _restored(self, call: Call, intent: Intent[T], twin: Twin) -> T:
        """The first request's value; it raises why that can't be given again."""
        if twin.status == Status.UNKNOWN:
            raise await self._undetermined(call, twin)
        if twin.status != Status.SUCCEEDED or twin.result is None:
            raise InProgressError("Ask again: the first request has no outcome yet.", retry_after=_RETRY_AFTER)
        if intent.restore is None:
            raise ConflictError(
                f"It was done as operation {twin.id}; a secret is shown once only.", code="secret_not_replayable"
            )
        return intent.restore(twin.result)

    async def _undetermined(self, call: Call, twin: Twin) -> WharfingerError:
        settled: Settled | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout_at(call.deadline.loop_time):
                settled = await self.settle(await self._ledger.find(twin.id))
        return UndeterminedError(
            f"Whether operation {twin.id} did this is not known, and will not be: {twin.note}. Nothing was done now. "
            "See what is there; to do it again, send it with a new Idempotency-Key.",
            members={
                "operation": twin.id,
                "known": twin.note,
                "now": None if settled is None else {"note": settled.note, "found": settled.found},
            },
        )

    async def _act(
        self, call: Call, intent: Intent[T], operation_id: str, act: Act[T], *, applied: Sequence[str] = ()
    ) -> Done[T]:
        """Act and record, each in its time: cut off in between by anybody else, the answer would not be true."""
        leave = Permit(operation_id, Term(call.deadline.act_until), applied)
        with unbounded():
            try:
                async with asyncio.timeout_at(call.deadline.loop_time):
                    return await self._act_once(call, intent, leave, act)
            except (TimeoutError, OutcomeUnknownError) as error:
                # Only here it is known whether the request may be sent again.
                is_repeatable = call.idempotency_key is not None or intent.is_harmless_twice
                raise _unknown(operation_id, is_repeatable=is_repeatable) from error

    async def _act_once(self, call: Call, intent: Intent[T], leave: Permit, act: Act[T]) -> Done[T]:
        token = permit.set(leave)
        try:
            async with asyncio.timeout_at(call.deadline.act_by):
                outcome = await act(leave.operation_id)
        except Exception as error:  # noqa: BLE001 - each becomes a typed error and a row
            return await self._fail(intent, leave, _typed(error))
        finally:
            permit.reset(token)
        await self._succeed(leave.operation_id, outcome)
        return Done(leave.operation_id, outcome.value)

    async def _succeed(self, operation_id: str, outcome: Outcome[object]) -> None:
        try:
            await self._complete(operation_id, Status.SUCCEEDED, outcome)
        except OutcomeUnknownError:
            raise
        except WharfingerError as refusal:
            await self._complete(operation_id, Status.FAILED, Outcome.empty(), refusal)
            raise

    async def _fail(self, intent: Intent[T], leave: Permit, error: WharfingerError) -> Done[T]:
        if leave.is_doubtful and error.aws is not None:
            return await self._prove(intent, leave.operation_id, error)
        if _is_lost(error, leave):
            raise _unknown(leave.operation_id) from error
        if leave.applied and not isinstance(error, PartialError):
            error = PartialError(leave.applied, error)
        await self._complete(leave.operation_id, _status_of(error), _facts_of(error), error)
        raise error

    async def _prove(self, intent: Intent[T], operation_id: str, error: WharfingerError) -> Done[T]:
        """An attempt before had no answer, so the refusal may be of our own doing, and AWS may act on it even now.

        What is proven to be this operation's is believed at once, nothing else is: that is for the sweep.
        """
        settled: Settled | None = None
        if intent.action in self._settlings and self._settlings[intent.action].proves:
            settled = await self.settle(Open(operation_id, intent.action, intent.target.registry, intent.request))
        if settled is None or settled.status != Status.SUCCEEDED or settled.result is None or intent.restore is None:
            raise _unknown(operation_id) from error
        value = intent.restore(settled.result)
        await self._complete(operation_id, Status.SUCCEEDED, Outcome(settled.result, value))
        return Done(operation_id, value)

    async def _complete(
        self, operation_id: str, status: Status, outcome: Outcome[object], error: WharfingerError | None = None
    ) -> None:
        facts: Json = {"code": error.code, "aws": asdict(error.aws) if error.aws else None} if error else {}
        try:
            async for attempt in stamina.retry_context(on=DatabaseError, attempts=4, wait_initial=0.05, timeout=5):
                with attempt:
                    done = await self._ledger.complete(
                        operation_id,
                        status,
                        write=outcome.write,
                        forget_key=status == Status.FAILED,
                        result=outcome.result,
                        **facts,
                    )
        except DatabaseError as away:
            raise _unknown(operation_id) from away
        if not done:
            raise _unknown(operation_id)


def _unsent(operation: Open) -> Settled:
    note = "AWS was not asked to do it"
    if operation.applied:
        return Settled(Status.PARTIAL, note, {"applied": list(operation.applied)}, is_certain=True)
    return Settled(Status.FAILED, note, is_certain=True)


def _typed(error: Exception) -> WharfingerError:
    if isinstance(error, WharfingerError):
        return error
    if isinstance(error, TimeoutError):
        return DeadlineError("The deadline passed before AWS answered.", retry_after=_RETRY_AFTER)
    log.error("defect", exc_info=error)
    return InternalError("This is a defect of wharfinger; its log has more under the request id.")


def _is_lost(error: WharfingerError, leave: Permit) -> bool:
    if isinstance(error, AnswerLostError) or leave.is_doubtful:
        return True
    return leave.is_sent and isinstance(error, DeadlineError | InternalError)


def _status_of(error: WharfingerError) -> Status:
    return Status.PARTIAL if isinstance(error, PartialError) else Status.FAILED


def _facts_of(error: WharfingerError) -> Outcome[None]:
    return Outcome({"applied": list(error.applied)} if isinstance(error, PartialError) else {}, None)


def _unknown(operation_id: str, *, is_repeatable: bool = False) -> OutcomeUnknownError:
    """:param is_repeatable: whether the request may be sent again as it is."""
    next_time = "the same request may be sent again" if is_repeatable else "look there before you send it again"
    return OutcomeUnknownError(
        f"Whether it was done is not known yet. It will be settled as operation {operation_id}; {next_time}.",
        retry_after=_RETRY_AFTER,
        retryable=is_repeatable,
    )
