"""The audit trail, read: everybody their own rows, auditors and admins all of them."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, Field
from sqlalchemy import RowMapping, select

from service.access import authz
from service.access.authz import Action, Caller, Target
from service.base import cursors
from service.base.db import Database
from service.base.errors import NotFoundError
from service.base.tables import operations
from service.models.repositories import Model, Page
from service.operations import audit_query
from service.operations.audit_query import AuditFilter, Position
from service.operations.ledger import Status


class Actor(Model):
    """Who did it."""

    id: str = Field(description="The id of a key; `cli` or `bootstrap` for an operator")
    label: str = Field(description="The key's label at that time")


class AwsAnswer(Model):
    """What AWS said when it refused."""

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
    client_address: str | None = Field(
        description="Where the request came from, by the connection or as a named proxy says", examples=["10.1.2.3"]
    )
    request: dict[str, Any]
    status: Status
    code: str | None = Field(description="Of the problem that was answered", examples=["repository_exists"])
    aws: AwsAnswer | None = Field(description="Where AWS refused")
    result: Annotated[dict[str, Any], Field(title="Result")] | None
    note: str | None = Field(description="What settling it found")
    started_at: AwareDatetime
    completed_at: AwareDatetime | None
    settled_by: str | None = Field(description="`request`, or `sweep` where the answer of AWS was lost")
    replay_of: str | None = Field(description="The operation whose Idempotency-Key this one came with")


class AuditPage(Page):
    """One page of the trail."""

    items: list[Entry]


class Audit:
    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def search(self, caller: Caller, wanted: AuditFilter, *, cursor: str | None, limit: int) -> AuditPage:
        """The entries that the caller may read, the newest first: by completion, or open ones by their start.

        A row completes once, so a page that was read stays as it is; open rows are asked for by status `pending`.
        """
        position = _position(cursor) if cursor else None
        query = audit_query.page(wanted, _own(caller), position, limit + 1)
        async with self._database.read() as connection:
            entries = [_entry(row) for row in (await connection.execute(query)).mappings()]
        following = _cursor(entries[limit - 1]) if len(entries) > limit else None
        return AuditPage(items=entries[:limit], next_cursor=following)

    async def get(self, caller: Caller, operation_id: str) -> Entry:
        """:raises NotFoundError: there is none with this id that the caller may read."""
        own = _own(caller)
        is_visible = () if own is None else (audit_query.visible_to(own),)
        query = select(operations).where(operations.c.id == operation_id, *is_visible)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().first()
        if row is None:
            raise NotFoundError("operation", operation_id)
        return _entry(row)


def _own(caller: Caller) -> str | None:
    """Whose rows the caller may read: their own, or with None everybody's."""
    authz.require(caller, Action.AUDIT_READ, None)
    return None if authz.is_allowed(caller, Action.AUDIT_READ_ALL, Target()) else caller.id


def _position(cursor: str) -> Position:
    moment, last = cursors.decode(cursor, "at", "after")
    try:
        at = datetime.fromisoformat(moment)
        return Position(at.astimezone(UTC), str(UUID(last)))
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise cursors.refusal() from None


def _cursor(last: Entry) -> str:
    return cursors.encode({"at": (last.completed_at or last.started_at).isoformat(), "after": last.id})


def _entry(row: RowMapping) -> Entry:
    taken = {name: row[name] for name in Entry.model_fields if name in row}
    return Entry(
        **taken | {"actor": Actor(id=row["actor"], label=row["actor_label"]), "registry": row["registry_name"]}
    )
