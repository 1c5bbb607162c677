"""Idempotency-Keys: which operation each stands for. All in transactions of the ledger's, beside the rows they name."""

from datetime import timedelta

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from service.base.clock import utcnow
from service.base.tables import idempotency_keys, operations
from service.models.audit import Status
from service.operations.calls import Call, Twin


class IdempotencyKeys:
    """A key is its caller's own, and remembered for a while."""

    def __init__(self, *, is_sqlite: bool, remember: timedelta) -> None:
        self._remember = remember
        self._dialect = sqlite if is_sqlite else postgresql

    async def claim(self, connection: AsyncConnection, call: Call, operation_id: str) -> Twin | None:
        """Let the call's key stand for an operation, unless it stands for another one, which is given."""
        await connection.execute(
            delete(idempotency_keys).where(*_is_of(call), idempotency_keys.c.expires_at < utcnow())
        )
        claim = self._dialect.insert(idempotency_keys).values(
            actor=call.caller.id,
            key=call.idempotency_key,
            operation_id=operation_id,
            fingerprint=call.fingerprint,
            expires_at=utcnow() + self._remember,
        )
        # Asked for what was inserted: after an INSERT, rowcount means nothing on PostgreSQL.
        claimed = claim.on_conflict_do_nothing().returning(idempotency_keys.c.operation_id)
        while not (await connection.execute(claimed)).first():
            # No twin to be seen: it failed in between, which frees the key.
            if twin := await _twin(connection, call):
                return twin
        return None

    async def hand_on(self, connection: AsyncConnection, call: Call, twin: Twin, operation_id: str) -> bool:
        """Let the key stand for an operation in place of its twin; says whether it still stood for that."""
        held = (*_is_of(call), idempotency_keys.c.operation_id == twin.id)
        taken = await connection.execute(update(idempotency_keys).where(*held).values(operation_id=operation_id))
        return taken.rowcount == 1

    async def free(self, connection: AsyncConnection, operation_id: str) -> None:
        """Forget the key that stands for an operation: what has failed may be tried again."""
        await connection.execute(delete(idempotency_keys).where(idempotency_keys.c.operation_id == operation_id))

    async def forget_expired(self, connection: AsyncConnection) -> None:
        await connection.execute(delete(idempotency_keys).where(idempotency_keys.c.expires_at < utcnow()))


async def _twin(connection: AsyncConnection, call: Call) -> Twin | None:
    c = operations.c
    query = (
        select(c.id, c.status, c.result, c.note, idempotency_keys.c.fingerprint)
        .join_from(idempotency_keys, operations)
        .where(*_is_of(call))
    )
    row = (await connection.execute(query)).one_or_none()
    return Twin(row.id, row.fingerprint, Status(row.status), row.result, row.note) if row else None


def _is_of(call: Call) -> tuple[ColumnElement[bool], ...]:
    return (idempotency_keys.c.actor == call.caller.id, idempotency_keys.c.key == call.idempotency_key)
