"""A request without a client in between, for what a client does not do: hang up, or send its body in parts."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message


class RawRequest:
    """One request to the app; `hang_up` ends its connection."""

    def __init__(self, method: str, url: str, secret: str, headers: Mapping[str, str] | None = None) -> None:
        split = urlsplit(url)
        named = {"authorization": f"Bearer {secret}"} | dict(headers or {})
        self._scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": split.path,
            "raw_path": split.path.encode(),
            "query_string": split.query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
            "server": ("wharfinger.test", 80),
            "client": ("192.0.2.1", 50000),
        }
        self._body: asyncio.Queue[Message] = asyncio.Queue()
        self._hung_up = asyncio.Event()
        self.is_listened_to = asyncio.Event()
        """Set when the app looks whether the connection still stands."""
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = bytearray()

    @property
    def state(self) -> dict[str, Any]:
        """What the app's lifespan gave, once the app has the request."""
        found: dict[str, Any] = self._scope["state"]
        return found

    def send(self, part: bytes, *, more: bool = False) -> None:
        self._body.put_nowait({"type": "http.request", "body": part, "more_body": more})

    def hang_up(self) -> None:
        self._hung_up.set()

    async def run(self, app: ASGIApp) -> None:
        """Until the app has done with it."""
        await app(self._scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if not self._body.empty():
            return self._body.get_nowait()
        self.is_listened_to.set()
        await self._hung_up.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.status = message.get("status", self.status)
        self.headers |= {name.decode().lower(): value.decode() for name, value in message.get("headers", ())}
        self.body += message.get("body", b"")
