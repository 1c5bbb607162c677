"""Every change goes through here: recorded before it is made, made once, and its outcome recorded after.

    record the intent (commit) -> authorise -> replay? -> act (no transaction open) -> record the outcome (commit)

Authorisation is a pure function of what is already loaded, so a refusal and its row are one commit.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import asdict

import stamina
import structlog

from service import authz
from service.authz import Action
from service.clients.aws import Permit, permit
from service.clock import unbounded
from service.errors import (
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
    WharfingerError,
)
from service.ledger import Call, Done, Intent, Ledger, Open, Outcome, Settled, Status, Twin

Act = Callable[[str], Awaitable[Outcome]]
"""Makes the change; it is told the operation's id, to leave it on what it makes."""

Settler = Callable[[Open], Awaitable[Settled | None]]
"""Looks at AWS and says what became of an open operation; None where that can't be told now."""

_RETRY_AFTER = 5

log = structlog.get_logger()


class Operations:
    """Runs changes, and knows how each kind is settled when AWS's answer to it is lost."""

    def __init__(self, *, ledger: Ledger) -> None:
        self._ledger = ledger
        self._settlers: dict[Action, Settler] = {}

    def settles(self, action: Action, settler: Settler) -> None:
        """Register how operations of this kind are settled."""
        self._settlers[action] = settler

    @property
    def settled_actions(self) -> Collection[Action]:
        """Those this version can settle: a replica of another version may have opened others."""
        return self._settlers.keys()

    async def run(self, call: Call, intent: Intent, act: Act) -> Done:
        """Do what `intent` says by calling `act`, once, with everything about it in the audit trail.

        :raises WharfingerError: refused, or it failed and nothing was changed.
        :raises PartialError: some of it was changed; the error says what.
        :raises OutcomeUnknownError: it may have been done; the row stays open until it is settled.
        """
        await self._authorise(call, intent)
        if call.idempotency_key is None:
            return await self._act(call, intent, await self._ledger.open(call, intent), act)
        opened = await self._ledger.open_with_key(call, intent)
        if isinstance(opened, Twin):
            return await self._replay(call, intent, opened)
        return await self._act(call, intent, opened, act)

    async def record(self, call: Call, intent: Intent, outcome: Outcome) -> Done:
        """Record a change that asks nothing of AWS, with its outcome: durable when this returns."""
        await self._authorise(call, intent)
        made = await self._ledger.record(call, intent, Status.SUCCEEDED, result=outcome.result)
        return Done(made, outcome.result)

    async def settle(self, operation: Open) -> Settled | None:
        """What became of an open operation; None where that can't be told now."""
        try:
            return await self._settlers[operation.action](operation)
        except WharfingerError as error:
            log.warning("not_settled", operation=operation.id, code=error.code)
        except Exception:
            # One row that trips over a defect must not keep all the others open.
            log.exception("not_settled", operation=operation.id)
        return None

    async def _authorise(self, call: Call, intent: Intent) -> None:
        try:
            for action, target in intent.requires or ((intent.action, intent.target),):
                authz.require(call.caller, action, target)
        except (ForbiddenError, NotFoundError) as error:
            await self._ledger.record(call, intent, Status.REFUSED, code=error.code)
            raise

    async def _replay(self, call: Call, intent: Intent, twin: Twin) -> Done:
        if twin.fingerprint != call.fingerprint:
            raise InvalidError("This Idempotency-Key came with another request before.", code="idempotency_key_reused")
        if twin.status != Status.SUCCEEDED or twin.result is None:
            await self._ledger.record(call, intent, Status.REFUSED, code=InProgressError.code, replay_of=twin.id)
            raise InProgressError("Ask again: the first request has no outcome yet.", retry_after=_RETRY_AFTER)
        if not intent.is_repeatable:
            code = "secret_not_replayable"
            await self._ledger.record(call, intent, Status.REFUSED, code=code, replay_of=twin.id)
            raise ConflictError(f"It was done as operation {twin.id}; a secret is shown once only.", code=code)
        await self._ledger.record(call, intent, Status.REPLAYED, replay_of=twin.id)
        return Done(twin.id, twin.result, is_replayed=True)

    async def _act(self, call: Call, intent: Intent, operation_id: str, act: Act) -> Done:
        """Act and record, each in its time: cut off in between by anybody else, the answer would not be true."""
        with unbounded():
            try:
                async with asyncio.timeout_at(call.deadline.loop_time):
                    return await self._act_once(call, intent, operation_id, act)
            except TimeoutError as error:
                raise _unknown(operation_id) from error

    async def _act_once(self, call: Call, intent: Intent, operation_id: str, act: Act) -> Done:
        leave = Permit(operation_id)
        token = permit.set(leave)
        try:
            async with asyncio.timeout_at(call.deadline.act_by):
                outcome = await act(operation_id)
        except Exception as error:  # noqa: BLE001 - each becomes a typed error and a row
            return await self._fail(intent, leave, _typed(error))
        finally:
            permit.reset(token)
        await self._succeed(operation_id, outcome)
        return Done(operation_id, outcome.result)

    async def _succeed(self, operation_id: str, outcome: Outcome) -> None:
        try:
            await self._complete(operation_id, Status.SUCCEEDED, outcome)
        except OutcomeUnknownError:
            raise
        except WharfingerError as refusal:
            await self._complete(operation_id, Status.FAILED, Outcome({}), refusal)
            raise

    async def _fail(self, intent: Intent, leave: Permit, error: WharfingerError) -> Done:
        if _is_lost(error, leave):
            raise _unknown(leave.operation_id) from error
        if leave.is_doubtful and not isinstance(error, PartialError):
            return await self._settle_at_once(intent, leave.operation_id, error)
        await self._complete(leave.operation_id, _status_of(error), _facts_of(error), error)
        raise error

    async def _settle_at_once(self, intent: Intent, operation_id: str, error: WharfingerError) -> Done:
        """An attempt before the last had no answer, so the refusal of the last may be of our own doing."""
        settled = await self.settle(Open(operation_id, intent.action, intent.target.registry, intent.request))
        if settled is None:
            raise _unknown(operation_id) from error
        if settled.status != Status.SUCCEEDED or settled.result is None:
            await self._complete(operation_id, settled.status, Outcome(settled.result or {}), error)
            raise error
        await self._complete(operation_id, Status.SUCCEEDED, Outcome(settled.result))
        return Done(operation_id, settled.result)

    async def _complete(
        self, operation_id: str, status: Status, outcome: Outcome, error: WharfingerError | None = None
    ) -> None:
        facts = {"code": error.code, "aws": asdict(error.aws) if error.aws else None} if error else {}
        try:
            async for attempt in stamina.retry_context(on=DatabaseError, attempts=4, wait_initial=0.05, timeout=5):
                with attempt:
                    done = await self._ledger.complete(
                        operation_id,
                        status,
                        write=outcome.write,
                        forget_key=status != Status.SUCCEEDED,
                        result=outcome.result,
                        **facts,
                    )
        except DatabaseError as away:
            raise _unknown(operation_id) from away
        if not done:
            raise _unknown(operation_id)


def _typed(error: Exception) -> WharfingerError:
    if isinstance(error, WharfingerError):
        return error
    if isinstance(error, TimeoutError):
        return DeadlineError("The deadline passed before AWS answered.", retry_after=_RETRY_AFTER)
    log.error("defect", exc_info=error)
    return InternalError("This is a defect of wharfinger; its log has more under the request id.")


def _is_lost(error: WharfingerError, leave: Permit) -> bool:
    if isinstance(error, AnswerLostError) or (leave.is_doubtful and error.aws is None):
        return True
    return leave.is_sent and isinstance(error, DeadlineError | InternalError)


def _status_of(error: WharfingerError) -> Status:
    return Status.PARTIAL if isinstance(error, PartialError) else Status.FAILED


def _facts_of(error: WharfingerError) -> Outcome:
    return Outcome({"applied": list(error.applied)} if isinstance(error, PartialError) else {})


def _unknown(operation_id: str) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        f"Whether it was done is not known yet. It will be settled as operation {operation_id}; "
        "a repeat with the same Idempotency-Key is safe.",
        retry_after=_RETRY_AFTER,
    )
