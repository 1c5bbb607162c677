"""What happened to long work, numbered: one table for each thing that is followed by its events."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, Table, bindparam, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.base.clock import utcnow
from service.base.db import Database
from service.models.common import WorkEvent

_Event = TypeVar("_Event", bound=WorkEvent)


class EventLog(Generic[_Event]):
    def __init__(self, table: Table, of: str, event: type[_Event]) -> None:
        """:param of: the column that says whose event it is."""
        self._table = table
        self._of = table.c[of]
        self._event = event
        # Made once, as each step of each job adds an event.
        work = self._of == bindparam("work")
        last = select(func.coalesce(func.max(table.c.number), 0)).where(work).scalar_subquery()
        self._insert = insert(table).values({"number": last + 1})

    async def add(self, connection: AsyncConnection, work_id: str, event: str, data: Mapping[str, Any]) -> None:
        """Write that something happened, in the caller's transaction, which has locked the work's row."""
        facts = {"at": utcnow(), "type": str(event), "data": dict(data)}
        await connection.execute(self._insert, {"work": work_id, self._of.name: work_id} | facts)

    async def after(self, database: Database, work_id: str, number: int) -> Sequence[_Event]:
        c = self._table.c
        later = select(c.number, c.at, c.type, c.data).where(self._of == work_id, c.number > number)
        rows = await database.fetch(later.order_by(c.number))
        return [self._event.model_validate(row._asdict()) for row in rows]

    async def forget(self, connection: AsyncConnection, works: Select[Any]) -> None:
        """Drop the events of those whose ids are selected."""
        await connection.execute(delete(self._table).where(self._of.in_(works)))
