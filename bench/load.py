"""A client that costs little itself: raw requests over keep-alive connections."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self


class Connection:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def open(cls, host: str, port: int) -> AsyncIterator[Self]:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()

    async def ask(self, request: bytes) -> None:
        """Send a request and read its answer.

        :raises RuntimeError: any other answer than 200.
        """
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        body = await self._reader.readexactly(_length(head))
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError((head + body).decode())


async def requests_per_second(host: str, port: int, request: bytes, *, connections: int, seconds: float) -> float:
    """How many times a second `request` is answered with 200 over this many connections."""
    ends = time.perf_counter() + seconds
    counts = await asyncio.gather(*(_repeat(host, port, request, ends) for _ in range(connections)))
    return sum(counts) / seconds


async def _repeat(host: str, port: int, request: bytes, ends: float) -> int:
    count = 0
    async with Connection.open(host, port) as connection:
        while time.perf_counter() < ends:
            await connection.ask(request)
            count += 1
    return count


def _length(head: bytes) -> int:
    for field in head.split(b"\r\n"):
        name, _, value = field.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise RuntimeError("an answer without a length")


def get(path: str, key: str) -> bytes:
    """A GET as it stands on the wire."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n\r\n".encode()


def post(path: str, key: str, body: str) -> bytes:
    """A POST as it stands on the wire."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: bench",
        f"Authorization: Bearer {key}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
