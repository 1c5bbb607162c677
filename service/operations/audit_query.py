"""The trail's query: any filter is a range of one index, so that a page takes as long among ten million rows.

Rows are ordered by completion, and those that are open by their start. Which index serves a filter is said in
`service/base/tables.py`; a filter that no index has in this order is put together of ranges that one has.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, cast, literal, select, tuple_, union_all

from service.access.actions import Action, Step
from service.base.tables import UtcDateTime, operation_subjects, operations
from service.models.audit import Status
from service.operations.subjects import below

_UNTOLD = ("registry_not_found", "cluster_not_found")
_COMPLETE = tuple(one for one in Status if one is not Status.PENDING)


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What to look for; a field that is None is not looked at. From `since` on, and before `until`."""

    actor: str | None = None
    actor_label: str | None = None
    action: Action | Step | None = None
    target: str | None = None
    target_prefix: str | None = None
    status: Status | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """The last row of the page before: when it completed (or started, where it is open), and its id."""

    at: datetime
    id: str


def page(wanted: AuditFilter, own: str | None, after: Position | None, most: int) -> Select[Any]:
    """Up to `most` rows of `operations`, the newest first.

    :param own: the id of the only actor whose rows are given; None: everybody's.
    """
    conditions = [*_conditions(wanted, own)]
    if wanted.status is Status.PENDING:
        return _open(conditions, wanted, after, most)
    if wanted.target is not None or wanted.target_prefix is not None:
        return _about(conditions, wanted, after, most)
    is_narrower = {wanted.status, wanted.actor, wanted.actor_label, own} != {None}
    if wanted.action is not None and not is_narrower:
        return _of_action(wanted, after, most)
    at, row_id = operations.c.completed_at, operations.c.id
    return (
        select(operations)
        .where(at.is_not(None), *conditions, *_span(at, row_id, wanted, after))
        .order_by(at.desc(), row_id.desc())
        .limit(most)
    )


def visible_to(actor: str) -> ColumnElement[bool]:
    """An actor's own rows; those alone left out that would tell of a registry or cluster that is not theirs to know.

    One that is not there leaves no row.
    """
    is_told = (operations.c.status != Status.REFUSED) | operations.c.code.not_in(_UNTOLD)
    return (operations.c.actor == actor) & is_told


def _open(
    conditions: Sequence[ColumnElement[bool]], wanted: AuditFilter, after: Position | None, most: int
) -> Select[Any]:
    """Few are open at any time: they are looked through for their subjects, and sorted."""
    at, row_id = operations.c.started_at, operations.c.id
    subjects = [wanted.target, wanted.target_prefix and below(wanted.target_prefix)]
    are_named = [
        cast(operations.c.subjects, Text).contains(json.dumps(one), autoescape=True)
        for one in subjects
        if one is not None
    ]
    return (
        select(operations)
        .where(operations.c.completed_at.is_(None), *conditions, *are_named, *_span(at, row_id, wanted, after))
        .order_by(at.desc(), row_id.desc())
        .limit(most)
    )


def _about(
    conditions: Sequence[ColumnElement[bool]], wanted: AuditFilter, after: Position | None, most: int
) -> Select[Any]:
    at, row_id = operation_subjects.c.completed_at, operation_subjects.c.operation_id
    named = wanted.target if wanted.target is not None else below(wanted.target_prefix or "")
    # The id would do. With the time too, an actor's own index tells whether a row is theirs, and no other is read.
    same = (operations.c.id == row_id) & (operations.c.completed_at == at)
    query = select(operations).join_from(operation_subjects, operations, same)
    if wanted.target is not None and wanted.target_prefix is not None:
        within = operation_subjects.alias()
        both = (within.c.operation_id == row_id) & (within.c.completed_at == at)
        query = query.join(within, both & (within.c.subject == below(wanted.target_prefix)))
    return (
        query.where(operation_subjects.c.subject == named, *conditions, *_span(at, row_id, wanted, after))
        .order_by(at.desc(), row_id.desc())
        .limit(most)
    )


def _of_action(wanted: AuditFilter, after: Position | None, most: int) -> Select[Any]:
    """A range for each status, of which the newest are taken: the index has the status before the time."""
    at, row_id = operations.c.completed_at, operations.c.id
    ranges = [
        select(at, row_id)
        .where(operations.c.action == wanted.action, operations.c.status == status, *_span(at, row_id, wanted, after))
        .order_by(at.desc(), row_id.desc())
        .limit(most)
        .subquery()
        for status in _COMPLETE
    ]
    matching = union_all(*(select(one) for one in ranges)).subquery()
    newest = select(matching).order_by(matching.c.completed_at.desc(), matching.c.id.desc()).limit(most).subquery()
    return (
        select(operations)
        .join_from(newest, operations, operations.c.id == newest.c.id)
        .order_by(newest.c.completed_at.desc(), newest.c.id.desc())
    )


def _conditions(wanted: AuditFilter, own: str | None) -> Iterator[ColumnElement[bool]]:
    named = {
        "actor": wanted.actor,
        "actor_label": wanted.actor_label,
        "action": wanted.action,
        "status": wanted.status,
    }
    for name, value in named.items():
        if value is not None:
            yield operations.c[name] == value
    if own is not None:
        yield visible_to(own)
    if wanted.status not in (None, Status.SUCCEEDED, Status.PENDING):
        # Said beside the status itself: then the index of what did not simply succeed is known to fit.
        yield operations.c.status != literal(Status.SUCCEEDED, literal_execute=True)


def _span(
    at: ColumnElement[Any], row_id: ColumnElement[Any], wanted: AuditFilter, after: Position | None
) -> Iterator[ColumnElement[bool]]:
    if wanted.since is not None:
        yield at >= wanted.since
    if wanted.until is not None:
        yield at < wanted.until
    if after is not None:
        yield tuple_(at, row_id) < tuple_(literal(after.at, UtcDateTime), literal(after.id))
