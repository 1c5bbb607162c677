"""The rows behind every change, and the short transactions that touch them. Nothing else writes them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, false, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from service.access.actions import Action, Step
from service.base.batching import Batcher
from service.base.clock import new_id, utcnow
from service.base.db import Database
from service.base.tables import operations
from service.models.audit import Status
from service.operations.calls import Call, Child, Intent, Json, Open, Parent, Settled, Twin, Write
from service.operations.idempotency import IdempotencyKeys
from service.operations.subjects import MOST_CHARACTERS, subjects_of

_MOST_OF_NOTE = 512
_MOST_OF_ADDRESS = 64
"""A trusted proxy hands on what it was told, and that may be anything."""
MOST_CLAIMED = 100
"""Rows that a sweep takes at once: the rest is for other replicas, or for its next beat."""


class Ledger:
    """Writes operation rows: opened once, completed once. A trigger in the database holds it to that."""

    def __init__(self, *, database: Database, remember: timedelta) -> None:
        self._database = database
        self._keys = IdempotencyKeys(is_sqlite=database.is_sqlite, remember=remember)
        self._dialect = sqlite if database.is_sqlite else postgresql
        self._inserts: Batcher[Json, None] = Batcher(self._insert_all)

    async def open(self, call: Call, intent: Intent[object]) -> str:
        """A new pending row; rows of concurrent requests share a commit."""
        row = self._row(call, intent, Status.PENDING)
        await self._inserts.submit(row)
        return str(row["id"])

    async def open_with_key(self, call: Call, intent: Intent[object]) -> str | Twin:
        """A new pending row that holds the caller's key, or the twin that holds it already."""
        row = self._row(call, intent, Status.PENDING)
        async with self._database.write() as connection:
            await connection.execute(insert(operations).values(row))
            twin = await self._keys.claim(connection, call, row["id"])
            if twin:
                await connection.rollback()
        return twin or str(row["id"])

    async def continue_from(self, call: Call, intent: Intent[object], twin: Twin) -> str | None:
        """A new pending row that holds the key in place of a twin that did a part; None if another request has it."""
        row = self._row(call, intent, Status.PENDING) | {"replay_of": twin.id, "before": {"applied": twin.applied}}
        async with self._database.write() as connection:
            await connection.execute(insert(operations).values(row))
            if await self._keys.hand_on(connection, call, twin, row["id"]):
                return str(row["id"])
            await connection.rollback()
        return None

    async def keep(self, operation_id: str, before: Json, applied: Sequence[str]) -> bool:
        """Write down what was there before; says whether the operation may still act."""
        values = {"before": {"was": before, "applied": applied}}
        async with self._database.write() as connection:
            done = await connection.execute(
                update(operations).where(*_is_with_its_request(operation_id)).values(values)
            )
        return done.rowcount == 1

    async def find(self, operation_id: str) -> Open:
        c = operations.c
        query = select(c.id, c.action, c.registry_name, c.request, c.before).where(c.id == operation_id)
        async with self._database.read() as connection:
            return open_of(dict((await connection.execute(query)).mappings().one()))

    async def record(self, call: Call, intent: Intent[object], status: Status, **facts: object) -> str:
        """A row that is complete from the start: a refusal, a replay, a credential handed out from the cache."""
        row = self._row(call, intent, status)
        row |= {"completed_at": row["started_at"], "settled_by": "request", **facts}
        await self._inserts.submit(row)
        return str(row["id"])

    async def open_child(
        self,
        parent: Parent,
        step: Action | Step,
        request: Json,
        *,
        within: timedelta,
        guard: Write,
        item: str = "",
    ) -> Child:
        """The row of a step: pending where it is new, as it stands where it was begun before. `guard` may refuse it.

        :param item: which of many, where a job does the same with each.
        """
        row = self._child_row(parent, step, request) | {"status": Status.PENDING, "deadline_at": utcnow() + within}
        c = operations.c
        async with self._database.write() as connection:
            await guard(connection)
            # Of whichever index: that of the version before is there too until the next one (see migration 0007).
            claim = self._dialect.insert(operations).values(row | {"item": item}).on_conflict_do_nothing()
            if (await connection.execute(claim.returning(c.id))).first():
                return Child(row["id"], Status.PENDING, None, None, None)
            same = (c.parent_id == parent.id, c.action == step, c.item == item)
            child = (await connection.execute(select(c.id, c.status, c.code, c.note, c.result).where(*same))).one()
        return Child(child.id, Status(child.status), child.code, child.note, child.result)

    async def close_children(self, connection: AsyncConnection, parent_ids: Sequence[str], note: str) -> None:
        """Complete the steps that were at work when their parent ended: nobody will look what became of them."""
        at_work = (operations.c.parent_id.in_(parent_ids), operations.c.completed_at.is_(None))
        ended = {"status": Status.UNKNOWN, "completed_at": utcnow(), "settled_by": "request", "note": note}
        await connection.execute(update(operations).where(*at_work).values(ended))

    async def add_child(self, connection: AsyncConnection, parent: Parent, action: Action, request: Json) -> str:
        """A row that is complete, in a transaction of the caller's: something that follows from an operation."""
        return await self._add(connection, self._child_row(parent, action, request))

    async def add(self, connection: AsyncConnection, who: Parent, action: Action | Step, request: Json) -> None:
        """As `add_child`, of the operation `who.id` itself: something that nobody asked for just now."""
        await self._add(connection, self._child_row(who, action, request) | {"id": who.id, "parent_id": None})

    async def _add(self, connection: AsyncConnection, row: Json) -> str:
        done = {"status": Status.SUCCEEDED, "deadline_at": utcnow(), "completed_at": utcnow(), "settled_by": "request"}
        await connection.execute(insert(operations).values(row | done | {"result": {"id": row["id"]}}))
        return str(row["id"])

    async def complete(
        self,
        operation_id: str,
        status: Status,
        *,
        guard: Write | None = None,
        write: Write | None = None,
        forget_key: bool = False,
        note: str | None = None,
        **facts: object,
    ) -> bool:
        """Complete a row, unless it is complete already or a sweep has claimed it; says whether it was.

        :param guard: called before the row is locked, by who locks another one first.
        :raises WharfingerError: `write` refused; the row stays open.
        """
        values = {"status": status, "completed_at": utcnow(), "settled_by": "request"} | facts
        values |= {"note": note and _fitting(note)}
        async with self._database.write() as connection:
            if guard is not None:
                await guard(connection)
            done = await connection.execute(
                update(operations).where(*_is_with_its_request(operation_id)).values(values)
            )
            if done.rowcount == 1:
                await self._finish(connection, operation_id, write, forget_key=forget_key)
        return done.rowcount == 1 or await self._is_completed_by_request(operation_id)

    async def claim(
        self,
        actions: Collection[str],
        *,
        overdue_since: timedelta,
        hold: timedelta,
        longest: timedelta = timedelta.max,
        most: int = MOST_CLAIMED,
    ) -> Sequence[Mapping[str, Any]]:
        """Open rows of `actions` past their deadline, taken for settling: nobody else completes them meanwhile.

        Those that were never looked at come first, then those that were not for the longest time.

        :param longest: that a request may take: on SQLite, whose one process has one clock, a time further ahead is of
            a process before this one, whose clock has been set back since.
        """
        c = operations.c
        oldest = func.coalesce(c.claimed_until, c.deadline_at)
        async with self._database.write() as connection:
            # Not before the transaction has begun: what is opened while it waits for that has a later deadline.
            now = utcnow()
            overdue = (
                c.action.in_(actions),
                c.completed_at.is_(None),
                c.parent_id.is_(None),
                (c.deadline_at < now - overdue_since) | self._is_impossible(c.deadline_at, now, longest),
                c.claimed_until.is_(None) | (c.claimed_until < now) | self._is_impossible(c.claimed_until, now, hold),
            )
            # A common table expression: PostgreSQL may evaluate a subquery again, and skip what it has locked itself.
            free = select(c.id).where(*overdue).order_by(oldest).limit(most).with_for_update(skip_locked=True).cte()
            take = update(operations).where(c.id.in_(select(free.c.id)), *overdue).values(claimed_until=now + hold)
            return list((await connection.execute(take.returning(operations))).mappings())

    def _is_impossible(self, time: ColumnElement[Any], now: datetime, furthest: timedelta) -> ColumnElement[bool]:
        if not self._database.is_sqlite or furthest == timedelta.max:
            return false()
        return time > now + max(furthest, timedelta(0))

    async def postpone(self, row: Mapping[str, Any], wait: timedelta, *, seen: Json | None) -> None:
        """Give a claimed row back, to be looked at again after a while, with what was seen of it now."""
        values = {"claimed_until": utcnow() + wait, "seen": seen}
        async with self._database.write() as connection:
            await connection.execute(update(operations).where(*_is_claimed(row)).values(values))

    async def settle(self, row: Mapping[str, Any], settled: Settled) -> bool:
        """Complete a claimed row with what was found; a known failure frees its key. False: the claim was lost."""
        values = {
            "status": settled.status,
            "completed_at": utcnow(),
            "settled_by": "sweep",
            "note": _fitting(settled.note),
            "result": settled.result,
        }
        async with self._database.write() as connection:
            done = await connection.execute(update(operations).where(*_is_claimed(row)).values(values))
            if done.rowcount == 1:
                await self._finish(connection, row["id"], None, forget_key=settled.status == Status.FAILED)
        return done.rowcount == 1

    async def count_unsettled(self) -> int:
        """Open rows past their deadline: their answer was lost, and no sweep has settled them yet."""
        c = operations.c
        overdue = (c.completed_at.is_(None), c.parent_id.is_(None), c.deadline_at < utcnow())
        async with self._database.read() as connection:
            return int((await connection.execute(select(func.count()).where(*overdue))).scalar_one())

    async def forget_expired_keys(self) -> None:
        async with self._database.write() as connection:
            await self._keys.forget_expired(connection)

    def _row(self, call: Call, intent: Intent[object], status: Status) -> Json:
        return {
            "id": new_id(),
            "actor": call.caller.id,
            "actor_label": call.caller.label,
            "action": intent.action,
            "registry_name": intent.target.registry,
            "target": str(intent.target)[:MOST_CHARACTERS],
            "request_id": call.request_id,
            "client_address": call.client_address and call.client_address[:_MOST_OF_ADDRESS],
            "subjects": subjects_of(intent.target, *intent.targets),
            "request": intent.request,
            "status": status,
            "started_at": utcnow(),
            "deadline_at": call.deadline.at,
            "before": {} if intent.keeps_before else None,
        }

    def _child_row(self, parent: Parent, action: Action | Step, request: Json) -> Json:
        return {
            "id": new_id(),
            "parent_id": parent.id,
            "actor": parent.actor,
            "actor_label": parent.actor_label,
            "action": action,
            "target": parent.target,
            "request_id": parent.request_id,
            "subjects": subjects_of(parent.target),
            "request": request,
            "started_at": utcnow(),
        }

    async def _insert_all(self, rows: Sequence[Json]) -> Sequence[None]:
        columns = set().union(*rows)
        await self._database.insert(operations, [dict.fromkeys(columns) | row for row in rows])
        return [None] * len(rows)

    async def _finish(
        self, connection: AsyncConnection, operation_id: str, write: Write | None, *, forget_key: bool
    ) -> None:
        if forget_key:
            await self._keys.free(connection, operation_id)
        if write is not None:
            await write(connection)

    async def _is_completed_by_request(self, operation_id: str) -> bool:
        """Whether an earlier attempt of ours did commit, though its acknowledgement was lost."""
        query = select(operations.c.settled_by).where(operations.c.id == operation_id)
        async with self._database.read() as connection:
            return bool((await connection.execute(query)).scalar_one() == "request")


def _fitting(note: str) -> str:
    """The note as PostgreSQL takes it: it may have a stranger's words, and what it does not fit stays open."""
    return note.replace("\0", "?")[:_MOST_OF_NOTE]


def open_of(row: Mapping[str, Any]) -> Open:
    kept = row["before"] or {}
    return Open(
        row["id"],
        Action(row["action"]),
        row["registry_name"],
        row["request"],
        before=kept.get("was"),
        applied=tuple(kept.get("applied", ())),
        is_unsent=row["before"] is not None and "was" not in kept,
    )


def _is_with_its_request(operation_id: str) -> tuple[ColumnElement[bool], ...]:
    """Open, and no sweep has claimed it."""
    c = operations.c
    return (c.id == operation_id, c.completed_at.is_(None), c.claimed_until.is_(None))


def _is_claimed(row: Mapping[str, Any]) -> tuple[ColumnElement[bool], ...]:
    """Still by the sweep that took `row`."""
    c = operations.c
    return (c.id == row["id"], c.completed_at.is_(None), c.claimed_until == row["claimed_until"])
