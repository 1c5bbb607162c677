"""`/v1/audit`: the audit trail, searched and read."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BeforeValidator

from api.http.answers import TAGGED, Http
from api.http.deps import PRINTABLE, Cursor, Limit
from api.http.problems import declare
from api.http.routing import KeyedRoute
from service.access.actions import Action, Step
from service.base.errors import NotFoundError
from service.models.audit import AuditPage, Entry, Status
from service.models.common import UtcTime
from service.operations.audit_query import AuditFilter

router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=KeyedRoute)
_ACTIONS = tuple(str(one) for one in (*Action, *Step))


def _known_action(name: str | None) -> str | None:
    """Ahead of the union, whose own error would name its members in the path."""
    if name is not None and name not in _ACTIONS:
        raise ValueError(f"known are: {', '.join(_ACTIONS)}")
    return name


async def _wanted(
    actor: Annotated[str | None, Query(max_length=64, pattern=PRINTABLE, description="The id of a key")] = None,
    actor_label: Annotated[
        str | None, Query(max_length=128, pattern=PRINTABLE, description="The label a key had at that time")
    ] = None,
    action: Annotated[
        Action | Step | None, BeforeValidator(_known_action), Query(description="What was asked for, or a step of it")
    ] = None,
    target: Annotated[
        str | None,
        Query(
            max_length=1024,
            pattern=PRINTABLE,
            examples=["local/team/app"],
            description="As in the entry: `local/team/app`",
        ),
    ] = None,
    target_prefix: Annotated[
        str | None,
        Query(max_length=1024, pattern=PRINTABLE, description="All at and below it, in whole segments: `local/team`"),
    ] = None,
    status: Annotated[
        Status | None, Query(description="`pending` gives what is open, which is in no other list")
    ] = None,
    since: Annotated[UtcTime | None, Query(description="Completed (if pending: started) at this time or later")] = None,
    until: Annotated[UtcTime | None, Query(description="Completed (if pending: started) before this time")] = None,
) -> AuditFilter:
    return AuditFilter(
        actor=actor,
        actor_label=actor_label,
        action=action,
        target=target,
        target_prefix=target_prefix,
        status=status,
        since=since,
        until=until,
    )


@router.get(
    "",
    operation_id="search_audit",
    summary="Search the audit trail, what completed last first",
    description=(
        "Auditors and admins of everything see all entries, everybody else their own. "
        "A page that was read stays as it is; what is still open is asked for by `status=pending`."
    ),
)
async def search_audit(
    http: Http,
    wanted: Annotated[AuditFilter, Depends(_wanted)],
    cursor: Cursor = None,
    limit: Limit = 100,
) -> AuditPage:
    return http.page(await http.services.audit.search(http.caller, wanted, cursor=cursor, limit=limit))


@router.get(
    "/{operation_id}",
    operation_id="get_audit_entry",
    summary="Get an entry of the audit trail",
    description="Its id is in the `Operation-Id` header of the answer to every change that was made.",
    responses=TAGGED | declare(NotFoundError),
)
async def get_audit_entry(
    operation_id: Annotated[UUID, Path(description="The id of an operation")], http: Http
) -> Entry:
    return http.tagged(await http.services.audit.get(http.caller, str(operation_id)))
