"""AWS CloudTrail, translated: what AWS says of a change, found by the operation's id in its User-Agent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.base.untrusted import read_json
from service.clients.aws.guard import OPERATION_IN_USER_AGENT
from service.clients.aws.sessions import RegistryClients
from service.clients.aws.translation import translated

_MOST_EVENTS = 1000
_PER_PAGE = 50


@dataclass(frozen=True, slots=True)
class Event:
    """One call as AWS saw it; `error` is its code where it was refused."""

    id: str
    error: str | None


class CloudTrail:
    """The management events of one registry's account and Region; they come minutes late, and some never do."""

    def __init__(self, clients: RegistryClients) -> None:
        self._clients = clients

    async def find(self, operation_id: str, call: str, since: datetime, until: datetime) -> Sequence[Event]:
        """The events of `call` that name the operation."""
        trail = await self._clients.cloudtrail.get()
        pages = trail.get_paginator("lookup_events").paginate(
            LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": call}],
            StartTime=since,
            EndTime=until,
            PaginationConfig={"PageSize": _PER_PAGE, "MaxItems": _MOST_EVENTS},
        )
        with translated("LookupEvents"):
            return [event async for page in pages for one in page["Events"] if (event := _event(one, operation_id))]


def _event(event: dict[str, Any], operation_id: str) -> Event | None:
    """None: it is of another operation, or of somebody else's."""
    record = read_json(event["CloudTrailEvent"])
    if OPERATION_IN_USER_AGENT + operation_id not in str(record.get("userAgent")):
        return None
    # A batch is answered 200 with what it could not do.
    failures = (record.get("responseElements") or {}).get("failures")
    return Event(event["EventId"], record.get("errorCode") or (failures[0].get("failureCode") if failures else None))
