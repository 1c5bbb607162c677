"""Replicas of the version before, which ran rollouts without jobs: what they left is adopted, what is ours they leave.

Such a replica takes an unfinished deployment once its `lease_until` is past, and runs one for as long as `lease_owner`
is its own. So ours carry a lease that is kept up while any replica of this version lives; should there be none, after
an undone upgrade, the version before goes on with them. The release after this one drops the columns, and this module.
"""

from collections.abc import Collection, Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.base.clock import utcnow
from service.base.db import Database
from service.base.errors import UnavailableError
from service.base.tables import deployments
from service.operations.calls import Json

OURS = "jobs"
"""The owner of what has a job: no replica's id."""
_KEPT_UP, _LEFT = timedelta(minutes=2), timedelta(minutes=1)

_c = deployments.c


class Handover:
    """:param lease: after which a replica of the version before is taken for dead."""

    def __init__(self, *, database: Database, lease: timedelta) -> None:
        self._database = database
        self._lease = lease

    def held(self) -> Json:
        """The columns of a deployment that has a job."""
        return {"lease_owner": OURS, "lease_until": self._database.clock(_KEPT_UP)}

    async def left(self) -> Sequence[str]:
        """The ids of what a replica of the version before left unfinished."""
        rows = await self._database.fetch(select(_c.id).where(*self._is_left()))
        return [row.id for row in rows]

    async def take(self, connection: AsyncConnection, deployment_id: str) -> None:
        """Make one ours.

        :raises UnavailableError: a replica of the version before is at work on it, or it is over.
        """
        taken = update(deployments).where(_c.id == deployment_id, *self._is_left()).values(self.held())
        if (await connection.execute(taken.returning(_c.id))).first() is None:
            raise UnavailableError("A replica of the version before is at work on it.")

    async def keep_up(self) -> None:
        """Keep the version before from what is ours."""
        lapsing = (_c.finished_at.is_(None), _c.lease_owner == OURS, _c.lease_until < self._database.clock(_LEFT))
        if await self._database.fetch(select(_c.id).where(*lapsing).limit(1)):
            async with self._database.write() as connection:
                await connection.execute(update(deployments).where(*lapsing).values(self.held()))

    async def ended(self, ids: Collection[str]) -> Sequence[str]:
        """Those of what is followed here that the version before has ended: it tells nobody.

        Over for a lease already, as what was ended here is followed no longer than a moment.
        """
        is_over = _c.finished_at < utcnow() - self._lease
        rows = await self._database.fetch(select(_c.id).where(_c.id.in_(ids), is_over))
        return [row.id for row in rows]

    def _is_left(self) -> tuple[ColumnElement[bool], ...]:
        is_free = [_c.lease_until.is_(None), _c.lease_until < self._database.clock()]
        if self._database.is_sqlite:
            # Further ahead than any of its leases: its clock has been set back since.
            is_free.append(_c.lease_until > self._database.clock(self._lease))
        return (_c.finished_at.is_(None), _c.lease_owner.is_distinct_from(OURS), or_(*is_free))
