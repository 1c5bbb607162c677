"""What every request passes: an id, a log line, a figure. Plain ASGI: microseconds."""

import asyncio
import re
import time
from collections.abc import MutableMapping
from functools import cache
from typing import Any

import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.deps import KEY_HEADER, READINESS
from api.http.problems import defect, render
from service.base.clock import new_id
from service.base.errors import (
    OutcomeUnknownError,
    UnavailableError,
    WharfingerError,
)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})

REQUESTS = Counter("wharfinger_requests", "Requests answered", ["method", "route", "status"])
SECONDS = Histogram("wharfinger_request_seconds", "Time to the answer's head", ["method", "route"])

log = structlog.get_logger()


class RequestContext:
    """Gives each request its id (accepted or made, echoed, in every log line), and notes how it was answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else new_id()
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.perf_counter()
        is_answered = False

        async def send_noted(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                is_answered = True
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
                _note(scope, message["status"], time.perf_counter() - started)
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except asyncio.CancelledError:
            if is_answered or not _is_ending(scope):
                raise
            # The time to finish after SIGTERM is up; nothing but that cancels a request.
            await render(request_id, _cut_off(scope))(scope, receive, send_noted)
        except Exception as error:
            # Here and not in the framework's own handler, which is outside of this: without an id, and not counted.
            if is_answered:
                raise
            await defect(request_id, error)(scope, receive, send_noted)


def _is_ending(scope: Scope) -> bool:
    readiness = scope["state"].get(READINESS)
    return readiness is not None and readiness.is_draining


def _cut_off(scope: Scope) -> WharfingerError:
    if scope["method"] in _SAFE:
        return UnavailableError("This process ended before the answer was there.", retry_after=1)
    is_keyed = KEY_HEADER in Headers(scope=scope)
    text = "This process ended before the answer was there; the audit trail will have what became of it."
    return OutcomeUnknownError(text, retry_after=5, retryable=is_keyed)


@cache
def _figures(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(method, route, status), SECONDS.labels(method, route)


def _note(scope: MutableMapping[str, Any], status: int, seconds: float) -> None:
    # The route's template, never the raw path: a label per repository would be a label per customer's typo.
    route = getattr(scope.get("route"), "path", "none")
    answered, took = _figures(scope["method"], route, status)
    answered.inc()
    took.observe(seconds)
    if scope["path"] not in _QUIET:
        caller, client = scope["state"].get("caller"), scope.get("client")
        log.info(
            "request",
            method=scope["method"],
            path=scope["path"],
            status=status,
            ms=round(seconds * 1000, 1),
            key=caller and caller.id,
            client=client and client[0],
        )
