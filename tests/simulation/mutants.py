"""Replicas that break a promise each: the oracle must find them out."""

from collections.abc import Sequence
from datetime import UTC, datetime

from service.base.clock import new_id
from service.base.permits import Permit
from service.models.audit import Status
from service.operations.calls import Call, Done, Intent, Open, Settled, Twin
from service.operations.ledger import Ledger
from service.operations.operations import Act, Operations, Settling, T
from service.operations.settlement import Row, Settlement
from tests.simulation.replica import Replica


class _Settling(Replica):
    """Settles every kind alike, whatever AWS has."""

    verdict: Settled | None

    def __init__(self, **parts: object) -> None:
        super().__init__(**parts)  # type: ignore[arg-type] # as the driver has them
        actions = (*self.operations.told_actions, *self.operations.looking_actions)
        self.operations.settles(dict.fromkeys(actions, Settling(self._settle)))

    async def _settle(self, _: Open) -> Settled | None:
        return self.verdict


class SaysFailed(_Settling):
    verdict = Settled(Status.FAILED, "surely not")


class SaysSucceeded(_Settling):
    verdict = Settled(Status.SUCCEEDED, "surely", {})


class NeverKnows(_Settling):
    verdict = None


class _Forgetful(Ledger):
    async def open_with_key(self, call: Call, intent: Intent[object]) -> str | Twin:
        return await self.open(call, intent)


class ForgetsKeys(Replica):
    ledger = _Forgetful


class _Unwritten(Ledger):
    async def open(self, call: Call, intent: Intent[object]) -> str:  # noqa: ARG002 - as it is called
        return new_id()

    async def open_with_key(self, call: Call, intent: Intent[object]) -> str | Twin:
        return await self.open(call, intent)


class WritesNothing(Replica):
    ledger = _Unwritten


class _Hasty(Settlement):
    async def _believe(self, row: Row, settled: Settled) -> bool:
        return await self._ledger.settle(row, settled)


class BelievesItsFirstLook(Replica):
    settlement_of = _Hasty


class _Late(Operations):
    async def _act_once(self, call: Call, intent: Intent[T], leave: Permit, act: Act[T]) -> Done[T]:
        leave.term.until = datetime.max.replace(tzinfo=UTC)
        return await super()._act_once(call, intent, leave, act)


class SendsPastItsDeadline(Replica):
    operations_of = _Late


class _Anew(Operations):
    async def _act(
        self, call: Call, intent: Intent[T], operation_id: str, act: Act[T], *, applied: Sequence[str] = ()
    ) -> Done[T]:
        del applied
        return await super()._act(call, intent, operation_id, act)


class RepeatsWhatWasApplied(Replica):
    operations_of = _Anew
