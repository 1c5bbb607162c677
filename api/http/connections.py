"""What a connection may cost before there is a request: httptools, which reads them, has neither limit nor patience."""

import asyncio
from typing import Any, cast

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.http.middleware import REQUESTS
from api.http.problems import render
from service.base.clock import new_id
from service.base.errors import HeadersTooLargeError, ParameterError, RequestTimeoutError, WharfingerError

_OF_BODIES = (b"content-length", b"transfer-encoding")
_LINGER = 1.0
"""Seconds in which a caller who is still sending can read why they are refused."""

log = structlog.get_logger()


class _UpgradeError(Exception):
    """A body comes with a request to upgrade, after which the parser reads no more: it would be taken for none."""


class _Joined:
    """A transport that sends in one piece what is written to it in one turn of the loop.

    The head of an answer and its body are written one after the other, and a system call for each costs more than any
    of our middleware does.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as it is there
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._send)
        self._parts.append(data)

    def close(self) -> None:
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._parts:
            whole, self._parts = b"".join(self._parts), []
            self._transport.write(whole)


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which refuses heads that are too large (431) or too slow (408), and ends idle connections.

    A head is the request's line with its headers. It is counted as it comes, so what is over is not kept. So is what
    comes beside the parts of a body: the extensions of chunks, and trailers.
    """

    def __init__(self, *, header_bytes: int, header_seconds: float, **given: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(**given)
        self._most = self._left = header_bytes
        self._seconds = header_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._expects_since: float | None = None
        self._heads = 0
        self._is_head = self._is_body = self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        super().connection_made(cast("asyncio.Transport", _Joined(transport, self.loop)))
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        if self._expects_since is None and not self._is_answering():
            self._expect_head()
        if self._is_body:
            self._receive_body(data)
            return
        heads, first, rest = self._heads, data[: self._left], data[self._left :]
        super().data_received(first)
        if self._is_refused:
            return
        # Of requests that come one upon another in one piece, the last one's part is not known.
        if self._is_head and self._heads <= heads + 1:
            self._left -= len(first)
            if self._left <= 0:
                self._refuse(HeadersTooLargeError(f"A request's line and headers have at most {self._most} bytes."))
                return
        if rest and not self.transport.is_closing():
            (self._receive_body if self._is_body else super().data_received)(rest)

    def _receive_body(self, data: bytes) -> None:
        self._left -= len(data)
        super().data_received(data)
        if self._is_body and self._left <= 0:
            self._is_refused = True
            self.transport.close()  # the answer is given, or waits for the body

    def on_message_begin(self) -> None:
        self._is_head = True
        self._heads += 1
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._is_head, self._is_body, self._left = False, True, self._most
        self._expects_since = None
        if self.parser.should_upgrade() and any(name in _OF_BODIES for name, _ in self.headers):
            raise _UpgradeError
        super().on_headers_complete()
        # What comes to the list after this is a trailer, and no header (RFC 9110, section 6.5.1): it would pass where a
        # proxy takes headers out.
        self.scope["headers"] = self.headers.copy()
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._left = self._most
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_body, self._left = False, self._most
        super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: one that is not known is passed over (RFC 9110, section 7.8), and it was not we who asked."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's own words
        self._refuse(ParameterError("The request is not well-formed HTTP.", code="malformed_request"))

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _expect_head(self) -> None:
        """From now on; one timer looks after all heads of a connection, as setting one for each would cost more."""
        self._expects_since = self.loop.time()
        if self._timer is None:
            self._timer = self.loop.call_later(self._seconds, self._look)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._expects_since is None:
            return
        left = self._expects_since + self._seconds - self.loop.time()
        if left > 0:
            self._timer = self.loop.call_later(left, self._look)
        else:
            self._too_slow()

    def _too_slow(self) -> None:
        if self._is_head:
            self._refuse(RequestTimeoutError(f"A request's line and headers come within {self._seconds:g} seconds."))
        else:
            self.transport.close()

    def _refuse(self, error: WharfingerError) -> None:
        self._is_refused = True
        self._stop_timer()
        self._unset_keepalive_if_required()
        if self._is_answering():
            self.transport.close()  # the answer to another request is under way, so there is no place for this one
            return
        self.transport.pause_reading()
        self.transport.write(self._answer(error))
        self.loop.call_later(_LINGER, self.transport.close)

    def _answer(self, error: WharfingerError) -> bytes:
        request_id = new_id()
        answer = render(request_id, error)
        headers = [*self.server_state.default_headers, *answer.raw_headers, (b"x-request-id", request_id.encode())]
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in [*headers, (b"connection", b"close")])
        REQUESTS.labels("none", "none", error.status).inc()
        log.info("refused", request_id=request_id, client=self.client and self.client[0], status=error.status)
        return STATUS_LINE[error.status] + lines + b"\r\n" + bytes(answer.body)
