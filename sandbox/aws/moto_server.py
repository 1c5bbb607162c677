"""The rest of AWS: moto's server, called in this process."""

from functools import cache
from typing import Any

from moto.backend_index import backend_url_patterns
from starlette.requests import Request
from starlette.responses import Response

_BROKEN = 500


class NotImitatedError(Exception):
    """Neither the sandbox nor moto has this operation."""


def answer(request: Request, service: str, body: bytes) -> Response:
    """What moto says to a request whose signature was checked. Blocks: call it in a thread.

    :raises NotImitatedError: moto does not know the service, or breaks at the operation.
    """
    if not _is_known(service):
        raise NotImitatedError
    from werkzeug.test import EnvironBuilder, run_wsgi_app  # noqa: PLC0415 - Flask takes long to import, and few need it

    environ = EnvironBuilder(
        method=request.method,
        path=request.url.path,
        query_string=request.url.query,
        headers=list(request.headers.items()),
        data=body,
    ).get_environ()
    try:
        content, line, headers = run_wsgi_app(_dispatcher(), environ, buffered=True)
    except Exception as error:
        raise NotImitatedError from error
    status = int(line.split()[0])
    if status >= _BROKEN:
        raise NotImitatedError
    kept = {name: value for name, value in headers if name.lower() != "content-length"}
    return Response(b"".join(content), status, kept)


@cache
def _is_known(service: str) -> bool:
    # As moto looks for it; where it finds nothing, it says so on standard output.
    host = f"https://{service}.us-east-1.amazonaws.com"
    return any(pattern.match(host) for _, pattern in backend_url_patterns)


@cache
def _dispatcher() -> Any:  # noqa: ANN401 - untyped in moto
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415 - as above
        DomainDispatcherApplication,
        create_backend_app,
    )

    return DomainDispatcherApplication(create_backend_app)
