"""The rest of AWS: moto's server, called in this process."""

from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import Response


def answer(request: Request, body: bytes) -> Response:
    """What moto says to a request whose signature was checked. Blocks: call it in a thread."""
    from werkzeug.test import EnvironBuilder, run_wsgi_app  # noqa: PLC0415 - Flask takes long to import, and few need it

    environ = EnvironBuilder(
        method=request.method,
        path=request.url.path,
        query_string=request.url.query,
        headers=list(request.headers.items()),
        data=body,
    ).get_environ()
    content, status, headers = run_wsgi_app(_dispatcher(), environ, buffered=True)
    kept = {name: value for name, value in headers if name.lower() != "content-length"}
    return Response(b"".join(content), int(status.split()[0]), kept)


@cache
def _dispatcher() -> Any:  # noqa: ANN401 - untyped in moto
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415 - as above
        DomainDispatcherApplication,
        create_backend_app,
    )

    return DomainDispatcherApplication(create_backend_app)
