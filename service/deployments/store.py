"""Deployments in SQL: accepted in order of generation, finished once, with a log of events.

Who runs one is the job's affair; a write to one that is over is refused all the same, as a replica of the version
before ends deployments without their jobs. Rows are locked in the order job, target, deployment, log.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, case, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from service.base import paging
from service.base.batching import Batcher
from service.base.clock import utcnow
from service.base.db import Database
from service.base.tables import deployment_events, deployment_targets, deployments
from service.deployments.record import DeploymentRecord, Place
from service.deployments.values import forget, forget_everywhere
from service.models.deployments import DeploymentEvent, DeploymentKind, DeploymentStatus
from service.operations.calls import Json
from service.operations.jobs.event_log import EventLog
from service.operations.jobs.values import LostError

_EVENTS = EventLog(deployment_events, "deployment_id", DeploymentEvent)
_BY_ID = select(deployments).where(deployments.c.id.in_(bindparam("ids", expanding=True)))
_PLACE = (deployments.c.cluster, deployments.c.namespace, deployments.c.name)

Guard = Callable[[AsyncConnection, int], Awaitable[None]]
"""May refuse what is about to be accepted, by raising; it is told the generation that has been the newest."""


class DeploymentStore:
    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._inquiries: Batcher[str, DeploymentRecord | None] = Batcher(self._get_all)

    async def insert(
        self, connection: AsyncConnection, place: Place, facts: Json, *, after: int = 0, guard: Guard | None = None
    ) -> None:
        """Insert a deployment as its target's newest generation, which ends those before it."""
        generation = await self._next_generation(connection, place, after)
        if guard:
            await guard(connection, generation - 1)
        row = asdict(place) | facts | {"generation": generation, "status": DeploymentStatus.ACCEPTED, "urls": []}
        row |= {"keeps_values": bool(facts["spec"].get("env")), "accepted_at": utcnow()}
        await connection.execute(insert(deployments).values(row))
        data = {"generation": generation, "image_uri": facts["image_uri"]}
        await _EVENTS.add(connection, facts["id"], "accepted", data)
        over = {"status": DeploymentStatus.SUPERSEDED, "superseded_by": facts["id"], "finished_at": utcnow()}
        older = (*_of(place), deployments.c.generation < generation, deployments.c.finished_at.is_(None))
        ended = update(deployments).where(*older).values(over).returning(deployments.c.id)
        superseded = list((await connection.execute(ended)).scalars())
        if superseded:
            await forget(connection, *_of(place))
        for one in superseded:
            await _EVENTS.add(connection, one, DeploymentStatus.SUPERSEDED, {"by": facts["id"]})

    async def get(self, deployment_id: str) -> DeploymentRecord | None:
        """Asked for by all who wait for one, again and again: those of concurrent callers share a query."""
        return await self._inquiries.submit(deployment_id)

    async def read(self, connection: AsyncConnection, deployment_id: str) -> DeploymentRecord:
        """One that is there, in a transaction of the caller's, and as it will stay until that ends."""
        query = select(deployments).where(deployments.c.id == deployment_id).with_for_update()
        return DeploymentRecord.from_row((await connection.execute(query)).one())

    async def page(
        self, conditions: Sequence[ColumnElement[bool]], cursor: str | None, limit: int
    ) -> tuple[Sequence[DeploymentRecord], str | None]:
        """The newest first, and the cursor of the next page."""
        query = paging.newest_first(select(deployments).where(*conditions), deployments.c.id, cursor, limit)
        records = [DeploymentRecord.from_row(row) for row in await self._database.fetch(query)]
        return paging.cut_by_id(records, limit)

    async def is_newest(self, place: Place, generation: int) -> bool:
        """Whether no later one was accepted."""
        later = select(deployments.c.id).where(*_of(place), deployments.c.generation > generation).limit(1)
        return not await self._database.fetch(later)

    async def last_success(self, place: Place, before: int, *, with_image: bool = False) -> DeploymentRecord | None:
        """The newest that succeeded, of a generation before this one; `with_image`: the newest that was no removal."""
        conditions = (
            *_of(place),
            deployments.c.generation < before,
            deployments.c.status == DeploymentStatus.SUCCEEDED,
            deployments.c.kind != (DeploymentKind.DELETE if with_image else ""),
        )
        return await self._first(
            select(deployments).where(*conditions).order_by(deployments.c.generation.desc()).limit(1)
        )

    async def write(
        self, connection: AsyncConnection, deployment_id: str, event: str, data: Json, **values: object
    ) -> None:
        """Write to a deployment and to its log, in the transaction of who has its job.

        :raises LostError: it is over.
        """
        if not await self.change(connection, deployment_id, event, data, **values):
            raise LostError(deployment_id)

    async def change(
        self, connection: AsyncConnection, deployment_id: str, event: str, data: Json, **values: object
    ) -> bool:
        """As `write`, whoever runs it; says whether it was not over."""
        unfinished = (deployments.c.id == deployment_id, deployments.c.finished_at.is_(None))
        changed = update(deployments).where(*unfinished).values(values).returning(*_PLACE)
        if (place := (await connection.execute(changed)).first()) is None:
            return False
        if values.get("finished_at") is not None:
            await forget(connection, *_of(Place(*place)))
        await _EVENTS.add(connection, deployment_id, event, data)
        return True

    async def events(self, deployment_id: str, after: int) -> Sequence[DeploymentEvent]:
        return await _EVENTS.after(self._database, deployment_id, after)

    async def forget_events(self, keep: timedelta) -> None:
        """Drop the logs of what ended long ago; the deployments themselves stay."""
        old = select(deployments.c.id).where(deployments.c.finished_at < utcnow() - keep)
        async with self._database.write() as connection:
            await _EVENTS.forget(connection, old)

    async def forget_values(self, keep: timedelta) -> None:
        """Drop the values of environments that an older version left, and those of what was removed long ago."""
        is_more = True
        while is_more:
            async with self._database.write() as connection:
                is_more = await forget_everywhere(connection, removed_before=utcnow() - keep)

    async def _get_all(self, ids: Sequence[str]) -> Sequence[DeploymentRecord | None]:
        rows = await self._database.fetch(_BY_ID, {"ids": list(set(ids))})
        records = {row.id: DeploymentRecord.from_row(row) for row in rows}
        return [records.get(one) for one in ids]

    async def _first(self, query: Select[Any]) -> DeploymentRecord | None:
        rows = await self._database.fetch(query)
        return DeploymentRecord.from_row(rows[0]) if rows else None

    async def _next_generation(self, connection: AsyncConnection, place: Place, after: int) -> int:
        dialect = sqlite if self._database.is_sqlite else postgresql
        counted = deployment_targets.c.generation
        raised = dialect.insert(deployment_targets).values(asdict(place) | {"generation": after + 1})
        raised = raised.on_conflict_do_update(
            index_elements=["cluster", "namespace", "name"],
            set_={"generation": case((counted > after, counted), else_=after) + 1},
        )
        return int((await connection.execute(raised.returning(counted))).scalar_one())


def _of(place: Place) -> tuple[ColumnElement[bool], ...]:
    return tuple(deployments.c[name] == value for name, value in asdict(place).items())
