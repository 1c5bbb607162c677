"""The values that deployments have in `env`: kept for as long as a rollback may need them, and no longer.

They may be secret, though `secret_env` is the place for that. Needed are those of what runs or may yet, and of a
target's newest successes; whatever ended otherwise is nothing to go back to. Of a workload that was removed, those
from before go once the removal is as old as its events may become. The names stay.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.deployment_resources import DeploymentKind, DeploymentStatus
from service.ledger import Json
from service.tables import deployments

KEPT_SUCCESSES = 10
"""Of a target: as many as Kubernetes keeps ReplicaSets to roll back to, unless told otherwise."""
FORGOTTEN = "forgotten_env"
"""Where a deployment's spec has the names whose values are gone."""
_BATCH = 500

_c = deployments.c
_PLACE = (_c.cluster, _c.namespace, _c.name)


def without_values(spec: Json) -> Json:
    """A spec with the names of its environment alone."""
    names = sorted({*(spec.get("env") or {}), *(spec.get(FORGOTTEN) or [])})
    return spec | {"env": {}} | ({FORGOTTEN: names} if names else {})


async def forget(
    connection: AsyncConnection, *which: ColumnElement[bool], removed_before: datetime | None = None
) -> bool:
    """Drop the values of those deployments that no rollback needs; says whether there may be more."""
    needless: ColumnElement[bool] = _c.id.not_in(_newest_successes(*which))
    if removed_before is not None:
        needless = or_(needless, _is_removed(removed_before))
    # NULL: written by a version that did not say so.
    holding = (*which, _c.finished_at.is_not(None), _c.keeps_values.is_not(False), needless)
    found = (await connection.execute(select(_c.id, _c.spec).where(*holding).limit(_BATCH))).all()
    for row in found:
        values: dict[str, Any] = {"spec": without_values(row.spec), "keeps_values": False}
        await connection.execute(update(deployments).where(_c.id == row.id).values(values))
    return len(found) == _BATCH


def _newest_successes(*which: ColumnElement[bool]) -> Any:  # noqa: ANN401 - a subquery of ids
    rank = func.row_number().over(partition_by=_PLACE, order_by=_c.generation.desc())
    succeeded = (*which, _c.status == DeploymentStatus.SUCCEEDED, _c.kind != DeploymentKind.DELETE)
    ranked = select(_c.id, rank.label("number")).where(*succeeded).subquery()
    return select(ranked.c.id).where(ranked.c.number <= KEPT_SUCCESSES)


def _is_removed(before: datetime) -> ColumnElement[bool]:
    later = deployments.alias()
    same = and_(*(later.c[one.name] == one for one in _PLACE), later.c.generation > _c.generation)
    ended = and_(later.c.status == DeploymentStatus.SUCCEEDED, later.c.finished_at < before)
    return exists(select(later.c.id).where(same, ended, later.c.kind == DeploymentKind.DELETE))
