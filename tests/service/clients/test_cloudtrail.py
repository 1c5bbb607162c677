"""Events of CloudTrail: which are an operation's own, over pages, and what AWS says in them."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.clients.aws.on_first_use import OnFirstUse
from service.clients.aws.sessions import RegistryClients
from service.clients.cloudtrail import CloudTrail, Event

pytestmark = pytest.mark.asyncio

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FAILED = {"failures": [{"imageId": {"imageTag": "1"}, "failureCode": "ImageReferencedByManifestList"}]}


class Lookup:
    """The SDK's client, with an event a page."""

    def __init__(self, *events: dict[str, Any]) -> None:
        self._events = events

    async def lookup_events(self, *, NextToken: str = "0", **_: object) -> dict[str, Any]:  # noqa: N803 - as AWS has it
        at = int(NextToken)
        more = {"NextToken": str(at + 1)} if at + 1 < len(self._events) else {}
        return {"Events": [self._events[at]]} | more


def event(name: str, operation: str, **said: object) -> dict[str, Any]:
    text = json.dumps({"userAgent": f"wharfinger wharfinger-operation/{operation}"} | said)
    return {"EventId": name, "CloudTrailEvent": text}


async def find(*events: dict[str, Any]) -> list[Event]:
    async def opened() -> Lookup:
        return Lookup(*events)

    clients = SimpleNamespace(cloudtrail=OnFirstUse(opened))
    trail = CloudTrail(cast("RegistryClients", clients))
    return list(await trail.find("mine", "BatchDeleteImage", NOW, NOW + timedelta(hours=1)))


async def test_an_operations_events_are_found_on_any_page() -> None:
    assert await find(event("1", "theirs"), event("2", "theirs"), event("3", "mine")) == [Event("3", None)]


async def test_a_refusal_has_its_code() -> None:
    assert await find(event("1", "mine", errorCode="AccessDenied")) == [Event("1", "AccessDenied")]


async def test_a_batch_that_did_nothing_was_not_done() -> None:
    found = await find(event("1", "mine", responseElements=FAILED), event("2", "mine", responseElements=None))
    assert found == [Event("1", "ImageReferencedByManifestList"), Event("2", None)]
