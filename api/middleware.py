"""What every request passes: an id, a limit on its body, a log line, a figure. Plain ASGI: microseconds."""

import re
import time
from collections.abc import MutableMapping
from functools import cache
from typing import Any

import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import defect, render
from service.clock import new_id
from service.errors import TooLargeError, WharfingerError

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
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
        except Exception as error:
            # Here and not in the framework's own handler, which is outside of this: without an id, and not counted.
            if is_answered:
                raise
            await defect(request_id, error)(scope, receive, send_noted)


class BodyLimit:
    """Refuses a body over the limit, also one whose length was not announced."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        seen = int(announced) if announced.isascii() and announced.isdigit() else 0
        if seen > self._most:
            await self._refuse(scope, receive, send)
            return
        counted = 0

        async def receive_counted() -> Message:
            nonlocal counted
            message = await receive()
            counted += len(message.get("body", b""))
            if counted > self._most:
                # Any other exception would become a 400: FastAPI lets only its own kind out of reading a body.
                raise HTTPException(TooLargeError.status) from self._error()
            return message

        await self._app(scope, receive_counted, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        await render(Request(scope).state.request_id, self._error())(scope, receive, send)

    def _error(self) -> WharfingerError:
        return TooLargeError(f"A request body has at most {self._most} bytes.")


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
