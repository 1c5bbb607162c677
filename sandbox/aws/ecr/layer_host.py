"""The host that layers are downloaded from, as S3 beside ECR: by links that prove themselves, and nothing else.

Source: S3 API reference, "GetObject", "Error responses".
"""

import hmac
import re
import secrets
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from sandbox.clock import CLOCK
from sandbox.state import State

_LINK_LIFE = 3600
_PATH = re.compile(r"/(sha256:[0-9a-f]{64})")
_secret = secrets.token_bytes(32)


class _Layer(FileResponse):
    chunk_size = 1 << 20


def link(host: str, digest: str) -> str:
    """A URL by which whoever has it may download the blob for an hour."""
    at = int(CLOCK.time())
    return (
        f"http://{host}/{digest}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={at}&X-Amz-Expires={_LINK_LIFE}"
        f"&X-Amz-SignedHeaders=host&X-Amz-Signature={_signature(digest, at)}"
    )


class LayerHost:
    """An ASGI application over the blobs of all registries."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(Request(scope))(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        if "authorization" in request.headers:
            return _refusal(400, "InvalidArgument", _ONE_MECHANISM)
        query, matched = request.query_params, _PATH.fullmatch(request.url.path)
        at = query.get("X-Amz-Date", "")
        if request.method != "GET" or not matched or not at.isdecimal():
            return _refusal(403, "AccessDenied", "Access Denied")
        if not hmac.compare_digest(query.get("X-Amz-Signature", ""), _signature(matched[1], int(at))):
            return _refusal(403, "SignatureDoesNotMatch", "The request signature we calculated does not match")
        if CLOCK.time() >= int(at) + _LINK_LIFE:
            return _refusal(403, "AccessDenied", "Request has expired")
        return _Layer(self._state.blob(matched[1]), media_type="application/octet-stream")


_ONE_MECHANISM = (
    "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter "
    "or the Authorization header should be specified"
)


def _signature(digest: str, at: int) -> str:
    return hmac.new(_secret, f"{digest} {at}".encode(), "sha256").hexdigest()


def _refusal(status: int, code: str, message: str) -> Response:
    error = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>\n{error}', status, media_type="application/xml")
