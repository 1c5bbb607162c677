"""The audit trail, read: everybody their own rows, auditors and admins all of them."""

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import RowMapping, select

from service.access import authz
from service.access.actions import Action
from service.access.authz import Caller, Target
from service.base import paging
from service.base.db import Database
from service.base.errors import NotFoundError
from service.base.tables import operations
from service.models.audit import Actor, AuditPage, Entry
from service.operations import audit_query
from service.operations.audit_query import AuditFilter, Position


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
            matching = [_entry(row) for row in (await connection.execute(query)).mappings()]
        entries, following = paging.cut(matching, limit, _position_after)
        return AuditPage(items=entries, next_cursor=following)

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
    moment, last = paging.decode(cursor, "at", "after")
    try:
        at = datetime.fromisoformat(moment)
        return Position(at.astimezone(UTC), str(UUID(last)))
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise paging.refusal() from None


def _position_after(last: Entry) -> dict[str, str]:
    return {"at": (last.completed_at or last.started_at).isoformat(), "after": last.id}


def _entry(row: RowMapping) -> Entry:
    taken = {name: row[name] for name in Entry.model_fields if name in row}
    return Entry(
        **taken | {"actor": Actor(id=row["actor"], label=row["actor_label"]), "registry": row["registry_name"]}
    )
