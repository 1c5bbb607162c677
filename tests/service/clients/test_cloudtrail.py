"""Events of CloudTrail: which are an operation's own, over pages, and what AWS says in them."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from service.base.settings import DeadlineSettings, RegistrySettings
from service.clients.aws.sessions import Aws
from service.clients.cloudtrail import CloudTrail, Event

pytestmark = pytest.mark.asyncio

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FAILED = {"failures": [{"imageId": {"imageTag": "1"}, "failureCode": "ImageReferencedByManifestList"}]}


class Lookup:
    """Answers in AWS's place, within the SDK: an event a page."""

    def __init__(self, *events: dict[str, Any]) -> None:
        self._events = events

    def __call__(self, params: dict[str, Any], **_: object) -> tuple[object, dict[str, Any]]:
        at = int(json.loads(params["body"]).get("NextToken", "0"))
        more = {"NextToken": str(at + 1)} if at + 1 < len(self._events) else {}
        status = SimpleNamespace(status_code=200)
        return status, {"Events": [self._events[at]], "ResponseMetadata": {"HTTPStatusCode": 200}} | more


def event(name: str, operation: str, **said: object) -> dict[str, Any]:
    text = json.dumps({"userAgent": f"wharfinger wharfinger-operation/{operation}"} | said)
    return {"EventId": name, "CloudTrailEvent": text}


async def find(*events: dict[str, Any]) -> list[Event]:
    registry = RegistrySettings(name="local", account_id="111111111111", region="eu-central-1")
    aws = Aws([registry], DeadlineSettings())
    clients = (await aws.open())["local"]
    (await clients.cloudtrail.get()).meta.events.register("before-call.cloudtrail.LookupEvents", Lookup(*events))
    found = await CloudTrail(clients).find("mine", "BatchDeleteImage", NOW, NOW + timedelta(hours=1))
    await aws.close()
    return list(found)


async def test_an_operations_events_are_found_on_any_page() -> None:
    assert await find(event("1", "theirs"), event("2", "theirs"), event("3", "mine")) == [Event("3", None)]


async def test_a_refusal_has_its_code() -> None:
    assert await find(event("1", "mine", errorCode="AccessDenied")) == [Event("1", "AccessDenied")]


async def test_a_batch_that_did_nothing_was_not_done() -> None:
    found = await find(event("1", "mine", responseElements=FAILED), event("2", "mine", responseElements=None))
    assert found == [Event("1", "ImageReferencedByManifestList"), Event("2", None)]
