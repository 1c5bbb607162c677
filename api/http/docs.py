"""The description of the interface, for people and as YAML: `/docs` asks no other host for anything."""

from functools import cache
from importlib.resources import files

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

from api.http.openapi import to_yaml

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Wharfinger</title>
<link rel="icon" href="docs/assets/favicon.png">
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
</head>
<body>
<div id="contract"></div>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
# A file of its own: the policy lets no script stand in the page.
_START = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#contract", deepLinking: true, validatorUrl: null});\n'


def serve_docs(app: FastAPI) -> None:
    """Add what is beside the interface, and so no part of the contract."""
    app.add_route("/", _to_docs)
    app.add_route("/docs", _docs)
    app.add_route("/docs/start.js", _start)
    app.add_route("/openapi.yaml", _yaml)
    assets = str(files("fastapi_offline") / "static")
    app.mount("/docs/assets", StaticFiles(directory=assets), name="assets")


async def _to_docs(_: Request) -> Response:
    return RedirectResponse("docs")


async def _docs(_: Request) -> Response:
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"})


async def _start(_: Request) -> Response:
    return Response(_START, media_type="text/javascript")


def _yaml(request: Request) -> Response:
    # No coroutine, so that it is written in a thread: it takes seconds.
    return Response(_written(request.app), media_type="application/yaml")


@cache
def _written(app: FastAPI) -> str:
    return to_yaml(app.openapi())
