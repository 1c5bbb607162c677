"""A TCP proxy between the service and AWS, where connections end as they do on a bad day."""

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import StrEnum

_RESET = struct.pack("ii", 1, 0)
_OPERATION = re.compile(rb"(?im)^x-amz-target: *\S+\.(\w+)|^Action=(\w+)|&Action=(\w+)")
_LENGTH = re.compile(rb"(?i)content-length: *(\d+)")
_JSON_REFUSAL = b'{"__type": "ThrottlingException", "message": "slow down"}'
_XML_REFUSAL = b"<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>"
_HEAD = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n"


class Fate(StrEnum):
    """What becomes of one attempt."""

    RESET_BEFORE = "reset before AWS has it"
    RESET_AFTER = "reset after AWS acted"
    CLOSED_AFTER = "closed after AWS acted"
    HALF = "half an answer"
    LATE = "held, and delivered when nobody waits any more"
    REFUSED = "refused, and AWS never has it"


class Proxy:
    """Forwards to one host. Each attempt of an operation on a repository meets the next of the fates set for it."""

    def __init__(self, upstream: str) -> None:
        self._host, _, port = upstream.partition(":")
        self._port = int(port)
        self._fates: dict[tuple[str, str], list[Fate]] = {}
        self._held: list[bytes] = []
        self.url = ""

    def befall(self, operation: str, about: str, *fates: Fate) -> None:
        """:param about: words that the request has."""
        self._fates[operation, about] = list(fates)

    async def deliver(self) -> None:
        """Hand over what was held; what AWS says of it goes nowhere."""
        held, self._held = self._held, []
        for request in held:
            await self._forward(request)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._pass(await _read(reader), reader, writer):
                pass
        writer.close()

    async def _pass(self, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        fate = self._fate_of(request)
        answer = b"" if fate in (Fate.RESET_BEFORE, Fate.LATE, Fate.REFUSED) else await self._forward(request)
        if fate in (Fate.RESET_BEFORE, Fate.RESET_AFTER):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        elif fate is Fate.LATE:
            self._held.append(request)
            await reader.read()  # until the service gives up
        elif fate is Fate.HALF:
            writer.write(answer[: len(answer) - len(answer.partition(b"\r\n\r\n")[2]) // 2 - 1])
        elif fate is Fate.REFUSED:
            refusal = _JSON_REFUSAL if b"X-Amz-Target" in request else _XML_REFUSAL
            writer.write(_HEAD % len(refusal) + refusal)
        elif fate is None:
            writer.write(answer)
        await writer.drain()
        return fate in (None, Fate.REFUSED)

    def _fate_of(self, request: bytes) -> Fate | None:
        asked = _operation_of(request)
        for (operation, about), fates in self._fates.items():
            if operation == asked and about.encode() in request and fates:
                return fates.pop(0)
        return None

    async def _forward(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        writer.write(request)
        answer = await _read(reader)
        writer.close()
        return answer


@asynccontextmanager
async def proxied(upstream: str) -> AsyncIterator[Proxy]:
    proxy = Proxy(upstream)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = "http://{}:{}".format(*server.sockets[0].getsockname())
    yield proxy
    server.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    """One message of HTTP, as it is on the wire."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return head + await reader.readexactly(int(length[1]) if length else 0)


def _operation_of(request: bytes) -> str:
    found = _OPERATION.search(request)
    return next(one for one in found.groups() if one).decode() if found else ""
