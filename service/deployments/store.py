"""Deployments in SQL: accepted in order of generation, leased to one replica, finished once, with a log of events.

Every write of a replica asks whether the deployment is still its own and not over: one that was paused past its lease,
or whose target has a newer generation, finds out there. A row is locked before its log is written.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, case, delete, false, func, insert, literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from service.base import paging
from service.base.clock import utcnow
from service.base.db import Database
from service.base.tables import UtcDateTime, deployment_events, deployment_targets, deployments, operations
from service.deployments.record import DeploymentRecord, Place
from service.deployments.values import forget, forget_everywhere
from service.models.audit import Status
from service.models.deployments import DeploymentEvent, DeploymentKind, DeploymentStatus
from service.operations.calls import Json

_PLACE = (deployments.c.cluster, deployments.c.namespace, deployments.c.name)
_POLL = 0.5
"""How soon a change by another replica is seen, in seconds; our own are told at once."""


class LostError(Exception):
    """The deployment is over, or another replica's: whoever works on it here has to stop."""


Guard = Callable[[AsyncConnection, int], Awaitable[None]]
"""May refuse what is about to be accepted, by raising; it is told the generation that has been the newest."""


class DeploymentStore:
    def __init__(self, *, database: Database, owner: str, lease: timedelta) -> None:
        self._database = database
        self._owner = owner
        self._lease = lease
        self._waiting: dict[str, set[asyncio.Event]] = {}

    async def accept(
        self, connection: AsyncConnection, place: Place, facts: Json, *, after: int = 0, guard: Guard | None = None
    ) -> None:
        """Insert a deployment as its target's newest generation, ours to run; those before it end."""
        generation = await self._next_generation(connection, place, after)
        if guard:
            await guard(connection, generation - 1)
        row = asdict(place) | facts | {"generation": generation, "status": DeploymentStatus.ACCEPTED, "urls": []}
        row |= {"keeps_values": bool(facts["spec"].get("env"))}
        row |= {"accepted_at": utcnow(), "lease_owner": self._owner, "lease_until": self._clock(self._lease)}
        await connection.execute(insert(deployments).values(row))
        await _log(connection, facts["id"], "accepted", {"generation": generation, "image_uri": facts["image_uri"]})
        over = {"status": DeploymentStatus.SUPERSEDED, "superseded_by": facts["id"], "finished_at": utcnow()}
        older = (*_of(place), deployments.c.generation < generation, deployments.c.finished_at.is_(None))
        ended = update(deployments).where(*older).values(over).returning(deployments.c.id)
        superseded = list((await connection.execute(ended)).scalars())
        if superseded:
            await _put_away(connection, place, superseded)
        for one in superseded:
            await _log(connection, one, DeploymentStatus.SUPERSEDED, {"by": facts["id"]})

    async def superseded_by(self, deployment_id: str) -> Sequence[str]:
        """The ids of those that ended when this one was accepted."""
        query = select(deployments.c.id).where(deployments.c.superseded_by == deployment_id)
        return [row.id for row in await self._database.fetch(query)]

    async def get(self, deployment_id: str) -> DeploymentRecord | None:
        return await self._first(select(deployments).where(deployments.c.id == deployment_id))

    async def read(self, connection: AsyncConnection, deployment_id: str) -> DeploymentRecord:
        """One that is there, in a transaction of the caller's, and as it will stay until that ends."""
        query = select(deployments).where(deployments.c.id == deployment_id).with_for_update()
        return DeploymentRecord.from_row((await connection.execute(query)).one())

    async def page(
        self, conditions: Sequence[ColumnElement[bool]], cursor: str | None, limit: int
    ) -> tuple[Sequence[DeploymentRecord], str | None]:
        """The newest first, and the cursor of the next page."""
        query = paging.newest_first(select(deployments).where(*conditions), deployments.c.id, cursor, limit)
        found = [DeploymentRecord.from_row(row) for row in await self._database.fetch(query)]
        return paging.cut_by_id(found, limit)

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

    async def claim(self) -> Sequence[str]:
        """Take over what is unfinished and nobody's; gives the ids."""
        unheld = (
            deployments.c.finished_at.is_(None),
            or_(deployments.c.lease_until.is_(None), deployments.c.lease_until < self._clock(), self._is_impossible()),
        )
        if not await self._database.fetch(select(deployments.c.id).where(*unheld).limit(1)):
            return []
        taken = {"lease_owner": self._owner, "lease_until": self._clock(self._lease)}
        async with self._database.write() as connection:
            claim = update(deployments).where(*unheld).values(taken).returning(deployments.c.id)
            return list((await connection.execute(claim)).scalars())

    async def renew(self, ids: Sequence[str]) -> Sequence[str]:
        """Keep the leases of these; gives those that are still ours."""
        kept = (deployments.c.id.in_(ids), *self._is_ours())
        values = {"lease_until": self._clock(self._lease)}
        async with self._database.write() as connection:
            renewal = update(deployments).where(*kept).values(values).returning(deployments.c.id)
            return list((await connection.execute(renewal)).scalars())

    async def release(self, ids: Sequence[str]) -> None:
        """Let others take these over at once."""
        values = {"lease_until": None, "lease_owner": None}
        async with self._database.write() as connection:
            await connection.execute(
                update(deployments).where(deployments.c.id.in_(ids), *self._is_ours()).values(values)
            )

    async def note(self, deployment_id: str, event: str, data: Json, **values: object) -> None:
        """Write to the row of a deployment of ours, and to its log.

        :raises LostError: it is over, or not ours any more.
        """
        async with self._database.write() as connection:
            await self.keep(connection, deployment_id, event, data, **values)
        self.tell(deployment_id)

    async def keep(
        self, connection: AsyncConnection, deployment_id: str, event: str | None, data: Json, **values: object
    ) -> None:
        """As `note`, in a transaction of the caller's, who tells of it after the commit."""
        mine = (deployments.c.id == deployment_id, *self._is_ours())
        changed = update(deployments).where(*mine).values({"lease_owner": self._owner, **values})
        place = (await connection.execute(changed.returning(*_PLACE))).first()
        if place is None:
            raise LostError(deployment_id)
        if values.get("finished_at") is not None:
            await _put_away(connection, Place(*place), [deployment_id])
        if event is not None:
            await _log(connection, deployment_id, event, data)

    async def cancel(self, connection: AsyncConnection, deployment_id: str) -> bool:
        """End one that is not over, whoever runs it; says whether it was."""
        running = (deployments.c.id == deployment_id, deployments.c.finished_at.is_(None))
        over = {"status": DeploymentStatus.CANCELLED, "finished_at": utcnow()}
        ended = update(deployments).where(*running).values(over).returning(*_PLACE)
        if (place := (await connection.execute(ended)).first()) is None:
            return False
        await _put_away(connection, Place(*place), [deployment_id])
        await _log(connection, deployment_id, DeploymentStatus.CANCELLED, {})
        return True

    async def events(self, deployment_id: str, after: int) -> Sequence[DeploymentEvent]:
        c = deployment_events.c
        later = (c.deployment_id == deployment_id, c.number > after)
        rows = await self._database.fetch(select(c.number, c.at, c.type, c.data).where(*later).order_by(c.number))
        return [DeploymentEvent(number=one.number, at=one.at, type=one.type, data=one.data) for one in rows]

    async def forget_events(self, keep: timedelta) -> None:
        """Drop the logs of what ended long ago; the deployments themselves stay."""
        old = select(deployments.c.id).where(deployments.c.finished_at < utcnow() - keep)
        async with self._database.write() as connection:
            await connection.execute(delete(deployment_events).where(deployment_events.c.deployment_id.in_(old)))

    async def forget_values(self, keep: timedelta) -> None:
        """Drop the values of environments that an older version left, and those of what was removed long ago."""
        is_more = True
        while is_more:
            async with self._database.write() as connection:
                is_more = await forget_everywhere(connection, removed_before=utcnow() - keep)

    def tell(self, deployment_id: str) -> None:
        """Wake those who wait for a change of this deployment."""
        for woken in self._waiting.get(deployment_id, ()):
            woken.set()

    async def changed(self, deployment_id: str, most: float = _POLL) -> None:
        """Wait for a change, or until it is time to look whether another replica made one."""
        woken = asyncio.Event()
        waiting = self._waiting.setdefault(deployment_id, set())
        waiting.add(woken)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), min(most, _POLL))
        finally:
            waiting.discard(woken)
            if not waiting:
                self._waiting.pop(deployment_id, None)

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

    def _is_impossible(self) -> ColumnElement[bool]:
        """A lease further ahead than any: of a process before, whose clock has been set back since."""
        return deployments.c.lease_until > self._clock(self._lease) if self._database.is_sqlite else false()

    def _is_ours(self) -> tuple[ColumnElement[bool], ...]:
        return (deployments.c.lease_owner == self._owner, deployments.c.finished_at.is_(None))

    def _clock(self, ahead: timedelta = timedelta(0)) -> ColumnElement[datetime]:
        """The database's clock where replicas share one, so that theirs need not agree."""
        if self._database.is_sqlite:
            return literal(utcnow() + ahead, UtcDateTime)
        return func.clock_timestamp() + ahead


def _of(place: Place) -> tuple[ColumnElement[bool], ...]:
    return tuple(deployments.c[name] == value for name, value in asdict(place).items())


async def _put_away(connection: AsyncConnection, place: Place, ids: Sequence[str]) -> None:
    """What is left to do for deployments of a target that are over."""
    await _close_steps(connection, ids)
    await forget(connection, *_of(place))


async def _close_steps(connection: AsyncConnection, ids: Sequence[str]) -> None:
    """Complete the steps that were at work when their deployment ended: nobody will look at what became of them."""
    at_work = (operations.c.parent_id.in_(ids), operations.c.completed_at.is_(None))
    ended = {"status": Status.UNKNOWN, "completed_at": utcnow(), "settled_by": "request"}
    note = {"note": "it was at work when the deployment ended; the next one applies the whole object anew"}
    await connection.execute(update(operations).where(*at_work).values(ended | note))


async def _log(connection: AsyncConnection, deployment_id: str, event: str, data: Mapping[str, Any]) -> None:
    c = deployment_events.c
    last = select(func.coalesce(func.max(c.number), 0)).where(c.deployment_id == deployment_id).scalar_subquery()
    await connection.execute(
        insert(deployment_events).values(
            deployment_id=deployment_id, number=last + 1, at=utcnow(), type=str(event), data=dict(data)
        )
    )
