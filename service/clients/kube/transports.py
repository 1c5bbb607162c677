"""How requests go out to a Kubernetes API server: counted, named after their operation, with a token of the moment."""

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import httpx2

from service.base.permits import Permit, permit
from service.clients.aws.guard import OPERATION_IN_USER_AGENT
from service.clients.kube.telemetry import CountingTransport

_UNAUTHORIZED = 401
_CLOSING_SECONDS = 1.0
_AGENT = "wharfinger"
_GOING_OUT = ("send_request_headers.started", "send_request_body.started")
"""https://www.python-httpx.org/advanced/extensions/#trace: no byte of it is written yet."""


class Tokens(Protocol):
    """Where bearer tokens of a cluster come from."""

    async def token(self, *, renew: bool = False) -> str: ...


def transport_to(context: ssl.SSLContext, tokens: Tokens | None) -> httpx2.AsyncBaseTransport:
    # Each rollout holds two watches open: the library's bound of a hundred connections would stop the fifty-first.
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
    plain = httpx2.AsyncHTTPTransport(verify=context, limits=limits)
    named = _NamingTransport(_WholeReads(CountingTransport(plain)))
    return _BearerTransport(named, tokens) if tokens else named


class _NamingTransport(httpx2.AsyncBaseTransport):
    """Names the operation that a change belongs to: the cluster's audit log keeps the User-Agent of each request.

    Past the time of its permit a change is not sent: that is looked at once more when a connection is there.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        current = permit.get()
        request.headers["User-Agent"] = _AGENT
        if current is not None and request.method != "GET":
            request.headers["User-Agent"] += f" {OPERATION_IN_USER_AGENT}{current.operation_id}"
            request.extensions["trace"] = partial(_look_again, current)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _look_again(current: Permit, event: str, _: Mapping[str, Any]) -> None:
    if event.endswith(_GOING_OUT):
        current.require_time()


class _BearerTransport(httpx2.AsyncBaseTransport):
    """Sets the bearer token of each request, and mints another once where the cluster refuses it."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, tokens: Tokens) -> None:
        self._inner = inner
        self._tokens = tokens

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["Authorization"] = f"Bearer {await self._tokens.token()}"
        response = await self._inner.handle_async_request(request)
        if response.status_code != _UNAUTHORIZED:
            return response
        await response.aclose()
        request.headers["Authorization"] = f"Bearer {await self._tokens.token(renew=True)}"
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _WholeReads(httpx2.AsyncBaseTransport):
    """Lets a read come as far as its answer when its caller is cancelled, and closes it then.

    A rollout that is over cancels its watches. Cut off within the TLS handshake, the library would forget the
    connection and leave its socket open. A change is cut off all the same: it must not go out for one who has left.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner
        self._left: set[asyncio.Task[None]] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method != "GET":
            return await self._inner.handle_async_request(request)
        asking = asyncio.ensure_future(self._inner.handle_async_request(request))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            leaving = asyncio.create_task(_put_away(asking))
            self._left.add(leaving)
            leaving.add_done_callback(self._left.discard)
            raise

    async def aclose(self) -> None:
        if self._left:
            await asyncio.wait(self._left, timeout=_CLOSING_SECONDS)
        await self._inner.aclose()


async def _put_away(asking: asyncio.Future[httpx2.Response]) -> None:
    with suppress(httpx2.HTTPError, OSError):
        await (await asking).aclose()
