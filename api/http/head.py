"""HEAD wherever GET is: the same answer without its content (RFC 9110, section 9.3.2)."""

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """Asks the routes as GET, and ends the answer after its head: an event stream would go on until it is over."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        # A copy: the server asks its own whether the answer has a body.
        asked = {**scope, "method": "GET"}
        with anyio.CancelScope() as answering:

            async def send_head(message: Message) -> None:
                if message["type"] == "http.response.start":
                    scope["route"] = asked.get("route")
                    await send(message)
                    return
                await send({"type": "http.response.body", "body": b""})
                answering.cancel()
                await anyio.lowlevel.checkpoint()

            await self._app(asked, receive, send_head)
