"""The values that deployments have in `env`: kept for as long as a rollback may need them, and no longer.

They may be secret, though `secret_env` is the place for that. Needed are those of what runs or may yet, and of a
target's newest successes; whatever ended otherwise is nothing to go back to. Of a workload that was removed, those
from before go once the removal is as old as its events may become. The names stay.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.base.tables import deployments
from service.models.deployments import DeploymentKind, DeploymentStatus
from service.operations.calls import Json

KEPT_SUCCESSES = 10
"""Of a target: as many as Kubernetes keeps ReplicaSets to roll back to, unless told otherwise."""
FORGOTTEN = "forgotten_env"
"""Where a deployment's spec has the names whose values are gone."""
_BATCH = 500

_c = deployments.c
_PLACE = (_c.cluster, _c.namespace, _c.name)
_SUCCEEDED = (_c.status == DeploymentStatus.SUCCEEDED, _c.kind != DeploymentKind.DELETE)


def without_values(spec: Json) -> Json:
    """A spec with the names of its environment alone."""
    names = sorted({*(spec.get("env") or {}), *(spec.get(FORGOTTEN) or [])})
    return spec | {"env": {}} | ({FORGOTTEN: names} if names else {})


async def forget(connection: AsyncConnection, *target: ColumnElement[bool]) -> None:
    """Drop the values of those deployments of a target that no rollback needs."""
    newest = select(_c.id).where(*target, *_SUCCEEDED).order_by(_c.generation.desc()).limit(KEPT_SUCCESSES)
    await _drop(connection, *target, _c.id.not_in(newest))


async def forget_everywhere(connection: AsyncConnection, *, removed_before: datetime) -> bool:
    """As `forget` for every target, and of what was removed before then; says whether there may be more."""
    rank = func.row_number().over(partition_by=_PLACE, order_by=_c.generation.desc())
    ranked = select(_c.id, rank.label("number")).where(*_SUCCEEDED).subquery()
    newest = select(ranked.c.id).where(ranked.c.number <= KEPT_SUCCESSES)
    return await _drop(connection, or_(_c.id.not_in(newest), _is_removed(removed_before))) == _BATCH


async def _drop(connection: AsyncConnection, *which: ColumnElement[bool]) -> int:
    # NULL: written by a version that did not say so. In these words the index is meant.
    holding = (_c.keeps_values.is_not(False), _c.finished_at.is_not(None))
    rows = (await connection.execute(select(_c.id, _c.spec).where(*holding, *which).limit(_BATCH))).all()
    for row in rows:
        values: dict[str, Any] = {"spec": without_values(row.spec), "keeps_values": False}
        await connection.execute(update(deployments).where(_c.id == row.id).values(values))
    return len(rows)


def _is_removed(before: datetime) -> ColumnElement[bool]:
    later = deployments.alias()
    same = and_(*(later.c[one.name] == one for one in _PLACE), later.c.generation > _c.generation)
    ended = and_(later.c.status == DeploymentStatus.SUCCEEDED, later.c.finished_at < before)
    return exists(select(later.c.id).where(same, ended, later.c.kind == DeploymentKind.DELETE))
