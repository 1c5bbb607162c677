"""Counts calls to AWS by operation and outcome, from botocore's own events."""

from collections.abc import Mapping
from typing import Any

from service.base.telemetry import AWS_CALLS, AWS_THROTTLES
from service.clients.aws.errors import is_throttle

_REFUSED, _SERVER_ERROR = 300, 500


def count_calls(events: Any) -> None:  # noqa: ANN401 - botocore has no types
    """Register with the events of a client."""
    events.register("after-call", _count_answer)
    events.register("after-call-error", _count_lost)
    events.register("needs-retry", _count_throttle)


def _count_answer(event_name: str, parsed: Mapping[str, Any], **_: object) -> None:
    status, code = _refusal(parsed)
    AWS_CALLS.labels(*_operation(event_name), _outcome(status, code)).inc()


def _count_lost(event_name: str, **_: object) -> None:
    AWS_CALLS.labels(*_operation(event_name), "lost").inc()


def _count_throttle(event_name: str, response: tuple[Any, Mapping[str, Any]] | None, **_: object) -> None:
    if response is not None and is_throttle(*_refusal(response[1])):
        AWS_THROTTLES.labels(*_operation(event_name)).inc()


def _operation(event_name: str) -> tuple[str, str]:
    _, service, operation = event_name.split(".")
    return service, operation


def _refusal(parsed: Mapping[str, Any]) -> tuple[int, str]:
    status = int(parsed.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return status, str(parsed.get("Error", {}).get("Code", ""))


def _outcome(status: int, code: str) -> str:
    if status < _REFUSED:
        return "ok"
    if is_throttle(status, code):
        return "throttled"
    return "failed" if status >= _SERVER_ERROR else "refused"
