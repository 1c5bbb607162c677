"""As what a body may come: JSON, and not compressed. Anything else would be read for what it is not."""

import re

from fastapi import Request
from starlette.datastructures import Headers

from api.http.negotiation import JSON
from service.base.errors import FieldError, UnsupportedMediaTypeError

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
