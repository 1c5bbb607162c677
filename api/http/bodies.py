"""What a body has to be: JSON, not compressed, within the limit of its length, and there in time."""

import asyncio
import re
from datetime import timedelta

from fastapi import Request
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.negotiation import JSON
from api.http.problems import render
from service.base.errors import (
    FieldError,
    RequestTimeoutError,
    TooLargeError,
    UnsupportedMediaTypeError,
    WharfingerError,
)

_OTHER_JSON = re.compile(r"application/[^/]+\+json")


def require_json(request: Request) -> None:
    """Let a request pass that has no body, or one of JSON; without a content type it is taken for that.

    :raises UnsupportedMediaTypeError: a header says that it is something else.
    """
    headers = request.headers
    if (headers.get("content-type") == JSON and "content-encoding" not in headers) or not _has_body(headers):
        return
    if not _is_json(headers.get("content-type", JSON)):
        raise _refusal("content-type", f"must be {JSON}, or another type that ends in +json")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise _refusal("content-encoding", "must be left out: bodies are not decompressed")


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _is_json(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return not content_type.strip() or media_type == JSON or _OTHER_JSON.fullmatch(media_type) is not None


def _refusal(header: str, reason: str) -> UnsupportedMediaTypeError:
    mistake = FieldError(f"header.{header}", reason)
    return UnsupportedMediaTypeError("The request body can't be read as it was sent.", errors=[mistake])


class BodyLimit:
    """Refuses a body over the limit, also one whose length was not announced, and one that does not come in time."""

    def __init__(self, app: ASGIApp, most: int, within: timedelta) -> None:
        self._app = app
        self._most = most
        self._within = within.total_seconds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        seen = int(announced) if announced.isascii() and announced.isdigit() else 0
        if seen > self._most:
            await self._refuse(scope, receive, send)
            return
        await self._app(scope, _Body(receive, self._most, self._within), send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        await render(Request(scope).state.request_id, _too_large(self._most))(scope, receive, send)


class _Body:
    """The body of one request, part by part."""

    def __init__(self, receive: Receive, most: int, within: float) -> None:
        self._receive = receive
        self._most = most
        self._within = within
        self._ends: float | None = None
        self._left = most
        self._is_complete = False

    async def __call__(self) -> Message:
        if self._is_complete:
            return await self._receive()  # that the caller hung up, whenever they do
        if self._ends is None:
            self._ends = asyncio.get_running_loop().time() + self._within
        try:
            async with asyncio.timeout_at(self._ends):
                message = await self._receive()
        except TimeoutError:
            # Any other exception would become a 400: FastAPI lets only its own kind out of reading a body.
            raise HTTPException(RequestTimeoutError.status) from _too_slow(self._within)
        self._is_complete = not message.get("more_body", False)
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(TooLargeError.status) from _too_large(self._most)
        return message


def _too_large(most: int) -> WharfingerError:
    return TooLargeError(f"A request body has at most {most} bytes.")


def _too_slow(within: float) -> WharfingerError:
    return RequestTimeoutError(f"A request body comes within {within:g} seconds.")
