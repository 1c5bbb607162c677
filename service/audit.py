"""The audit trail, read: everybody their own rows, auditors and admins all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import AwareDatetime, Field
from sqlalchemy import ColumnElement, RowMapping, or_, select

from service import authz, cursors
from service.authz import Action, Caller, Step, Target
from service.db import Database
from service.errors import NotFoundError
from service.ledger import Status
from service.resources import Model, Page
from service.tables import operations

_SLACK = timedelta(seconds=1)
"""A row's id is made before its `started_at` is read off the clock."""


class Actor(Model):
    id: str = Field(description="The id of a key; `cli` or `bootstrap` for an operator")
    label: str = Field(description="The key's label at that time")


class AwsAnswer(Model):
    code: str
    request_id: str | None


class Entry(Model):
    """One operation: what was about to be done, and what came of it. Complete, it never changes."""

    id: str
    parent_id: str | None
    actor: Actor
    action: str = Field(examples=["repository.create"])
    registry: str | None
    target: str = Field(examples=["local/team/app"])
    request_id: str
    request: dict[str, Any]
    status: Status
    code: str | None = Field(description="Of the problem that was answered", examples=["repository_exists"])
    aws: AwsAnswer | None = Field(description="Where AWS refused")
    result: dict[str, Any] | None
    note: str | None = Field(description="What settling it found")
    started_at: AwareDatetime
    completed_at: AwareDatetime | None
    settled_by: str | None = Field(description="`request`, or `sweep` where the answer of AWS was lost")
    replay_of: str | None = Field(description="The operation whose Idempotency-Key this one came with")


class AuditPage(Page):
    items: list[Entry]


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What to look for; a field that is None is not looked at. From `since` on, and before `until`."""

    actor: str | None = None
    action: Action | Step | None = None
    target: str | None = None
    status: Status | None = None
    since: datetime | None = None
    until: datetime | None = None


class Audit:
    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def search(self, caller: Caller, wanted: AuditFilter, *, cursor: str | None, limit: int) -> AuditPage:
        """The entries that the caller may read, the newest first."""
        conditions = [*_visible_to(caller), *_conditions(wanted)]
        if cursor:
            conditions.append(operations.c.id < cursors.decode_id(cursor))
        query = select(operations).where(*conditions).order_by(operations.c.id.desc()).limit(limit + 1)
        async with self._database.read() as connection:
            found = [_entry(row) for row in (await connection.execute(query)).mappings()]
        following = cursors.encode_id(found[limit - 1].id) if len(found) > limit else None
        return AuditPage(items=found[:limit], next_cursor=following)

    async def get(self, caller: Caller, operation_id: str) -> Entry:
        """:raises NotFoundError: there is none with this id that the caller may read."""
        query = select(operations).where(operations.c.id == operation_id, *_visible_to(caller))
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().first()
        if row is None:
            raise NotFoundError("operation", operation_id)
        return _entry(row)


def _visible_to(caller: Caller) -> Sequence[ColumnElement[bool]]:
    authz.require(caller, Action.AUDIT_READ, None)
    if authz.is_allowed(caller, Action.AUDIT_READ_ALL, Target()):
        return ()
    return (operations.c.actor == caller.id,)


def _conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    named = {"actor": wanted.actor, "action": wanted.action, "status": wanted.status}
    conditions: list[ColumnElement[bool]] = [
        operations.c[name] == value for name, value in named.items() if value is not None
    ]
    if wanted.target is not None:
        conditions.append(_is_about(wanted.target))
    # Ids begin with their time, so that a span of time is a range of the primary key and not a walk over the table.
    if wanted.since is not None:
        conditions += [operations.c.started_at >= wanted.since, operations.c.id >= _id_at(wanted.since - _SLACK)]
    if wanted.until is not None:
        conditions += [operations.c.started_at < wanted.until, operations.c.id < _id_at(wanted.until + _SLACK)]
    return conditions


def _is_about(target: str) -> ColumnElement[bool]:
    """One credential may be for several repositories: `REGISTRY/NAME,NAME`."""
    registry, _, name = target.partition("/")
    among = operations.c.target.startswith(f"{registry}/", autoescape=True) & or_(
        operations.c.target.startswith(f"{target},", autoescape=True),
        operations.c.target.endswith(f",{name}", autoescape=True),
        operations.c.target.contains(f",{name},", autoescape=True),
    )
    vended = operations.c.action.in_((Action.TOKEN_PULL, Action.TOKEN_PUSH))
    return or_(operations.c.target == target, vended & among)


def _id_at(when: datetime) -> str:
    """The least UUID version 7 of a millisecond (RFC 9562, section 5.7)."""
    milliseconds = max(0, int(when.timestamp() * 1000))
    return str(UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62))


def _entry(row: RowMapping) -> Entry:
    taken = {name: row[name] for name in Entry.model_fields if name in row}
    return Entry(
        **taken | {"actor": Actor(id=row["actor"], label=row["actor_label"]), "registry": row["registry_name"]}
    )
