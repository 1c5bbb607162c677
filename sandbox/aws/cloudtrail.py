"""CloudTrail: the log of calls as management events, each some minutes after it was made.

CloudTrail User Guide: "CloudTrail typically delivers events within an average of about 5 minutes of an API call".
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.aws.ecr.errors import EcrError
from sandbox.aws.policy import Principal, Request, is_allowed
from sandbox.calls import Call
from sandbox.clock import CLOCK
from sandbox.places import Place

ACTION = "LookupEvents"
_DELAY = 300.0
_MOST = 50


def lookup(calls: Sequence[Call], place: Place, principal: Principal, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The newest first; of the attributes only `EventName` is known.

    :raises EcrError: the caller may not ask.
    """
    request = Request(action=f"cloudtrail:{ACTION}", resource="*", principal=principal)
    if not is_allowed(request, resource_account=principal.account, resource_policy=None):
        raise EcrError("AccessDeniedException", f"User: {principal.arn} is not authorized to perform: {request.action}")
    start = int(asked.get("NextToken", "0"))
    events = [_event(one, place) for one in reversed(calls) if _is_asked_for(one, place, asked)]
    end = start + min(int(asked.get("MaxResults", _MOST)), _MOST)
    more = {"NextToken": str(end)} if end < len(events) else {}
    return {"Events": events[start:end], **more}


def _is_asked_for(call: Call, place: Place, asked: Mapping[str, Any]) -> bool:
    names = {one["AttributeValue"] for one in asked.get("LookupAttributes", ()) if one["AttributeKey"] == "EventName"}
    since, until = asked.get("StartTime", 0.0), asked.get("EndTime", CLOCK.time())
    return (
        (call.account, call.region) == (place.account, place.region)
        and bool(call.status)
        and (not names or call.operation in names)
        and since <= call.at <= min(until, CLOCK.time() - _DELAY)
    )


def _event(call: Call, place: Place) -> dict[str, Any]:
    event_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{call.at} {call.operation} {call.user_agent}"))
    said = {
        "eventName": call.operation,
        "eventSource": f"{call.service}.amazonaws.com",
        "awsRegion": place.region,
        "userAgent": call.user_agent,
        "requestParameters": call.parameters,
        **({"errorCode": call.error} if call.error else {}),
    }
    return {
        "EventId": event_id,
        "EventName": call.operation,
        "EventTime": call.at,
        "EventSource": said["eventSource"],
        "CloudTrailEvent": json.dumps(said),
    }
