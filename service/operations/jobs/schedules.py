"""Jobs that come again without anybody's asking: each occurrence is an operation of the actor `schedule`, and once."""

from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import Row, insert, select, update

from service.access.actions import Step
from service.base.beats import Beat
from service.base.clock import new_id, utcnow
from service.base.db import Database
from service.base.tables import jobs, schedules
from service.operations.calls import Json, Parent
from service.operations.jobs.jobs import Jobs
from service.operations.jobs.values import Accepted
from service.operations.ledger import Ledger

_ACTOR = "schedule"
_SECOND = timedelta(seconds=1)

log = structlog.get_logger()


class Schedules:
    """Looked at wherever jobs are worked on."""

    def __init__(self, *, database: Database, ledger: Ledger, jobs: Jobs) -> None:
        self._database = database
        self._ledger = ledger
        self._jobs = jobs
        jobs.runner.add_duty(Beat("schedules", self.run_due, _SECOND, spread=0.3))

    async def define(self, name: str, kind: str, every: timedelta, payload: Json) -> None:
        """Have a job of a kind accepted each `every`, about what the schedule is called; one of this name changes."""
        values: Json = {"kind": kind, "every": round(every.total_seconds()), "payload": payload}
        async with self._database.write() as connection:
            changed = update(schedules).where(schedules.c.name == name).values(values)
            if (await connection.execute(changed)).rowcount == 0:
                await connection.execute(insert(schedules).values(values | {"name": name, "next_at": utcnow() + every}))

    async def run_due(self) -> None:
        """Accept what is due, once among all replicas; what was missed meanwhile is not made up for."""
        c = schedules.c
        is_due = (c.kind.in_(self._jobs.kinds), c.next_at <= utcnow())
        for row in await self._database.fetch(select(schedules).where(*is_due)):
            if accepted := await self._occur(row):
                self._jobs.begin(accepted)

    async def _occur(self, row: Row[Any]) -> Accepted | None:
        c, now = schedules.c, utcnow()
        step = timedelta(seconds=row.every)
        following = row.next_at + step * ((now - row.next_at) // step + 1)
        who = Parent(new_id(), _ACTOR, row.name, new_id(), row.name)
        async with self._database.write() as connection:
            mine = update(schedules).where(c.name == row.name, c.next_at == row.next_at).values(next_at=following)
            if (await connection.execute(mine)).rowcount == 0:
                return None
            about = (jobs.c.kind == row.kind, jobs.c.key == row.name)
            if await self._jobs.store.live(connection, *about):
                log.info("occurrence_skipped", schedule=row.name, reason="the one before is not over")
                return None
            await self._ledger.add(connection, who, Step.JOB_SCHEDULE, {"kind": row.kind})
            return await self._jobs.accept(connection, row.kind, row.name, row.payload, parent=who)
