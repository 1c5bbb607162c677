"""The reference for throughput: a Starlette route that reads its body and answers a line."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def _answer(request: Request) -> Response:
    await request.body()
    return Response(b"ok")


app = Starlette(routes=[Route("/", _answer, methods=["GET", "POST"])])
