"""The OCI distribution API at `/v2/`: what answers a path. Names have slashes, so a path is read from its end."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from sandbox.aws.ecr.errors import EcrError
from sandbox.aws.ecr.registry import Registry
from sandbox.aws.identities import Identities
from sandbox.calls import Asked
from sandbox.oci import blobs, contents
from sandbox.oci.errors import OciError, of_ecr
from sandbox.oci.exchange import Exchange, login

VERSION = {"Docker-Distribution-Api-Version": "registry/2.0"}
_COMPONENT = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}|sha256:[0-9a-f]{64}")

Handler = Callable[..., Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """A path below `/v2/`, the permission it stands for in the call log, and what answers it."""

    method: str
    path: re.Pattern[str]
    operation: str
    handler: Handler


def _route(method: str, path: str, operation: str, handler: Handler) -> Route:
    return Route(method, re.compile(f"/v2/(?P<name>.+)/{path}"), operation, handler)


_ROUTES = (
    _route("POST", "blobs/uploads/?", "InitiateLayerUpload", blobs.start),
    _route("PATCH", "blobs/uploads/(?P<item>[^/]+)", "UploadLayerPart", blobs.chunk),
    _route("PUT", "blobs/uploads/(?P<item>[^/]+)", "CompleteLayerUpload", blobs.finish),
    _route("GET", "blobs/uploads/(?P<item>[^/]+)", "UploadLayerPart", blobs.status),
    _route("DELETE", "blobs/uploads/(?P<item>[^/]+)", "UploadLayerPart", blobs.cancel),
    _route("HEAD", "blobs/(?P<item>[^/]+)", "BatchCheckLayerAvailability", blobs.head),
    _route("GET", "blobs/(?P<item>[^/]+)", "GetDownloadUrlForLayer", blobs.get),
    _route("HEAD", "manifests/(?P<item>[^/]+)", "BatchGetImage", contents.get),
    _route("GET", "manifests/(?P<item>[^/]+)", "BatchGetImage", contents.get),
    _route("PUT", "manifests/(?P<item>[^/]+)", "PutImage", contents.put),
    _route("DELETE", "manifests/(?P<item>[^/]+)", "BatchDeleteImage", contents.delete),
    _route("GET", "tags/list", "ListImages", contents.tags),
    _route("GET", "referrers/(?P<item>[^/]+)", "BatchGetImage", contents.referrers),
)


def asked_by(request: Request) -> Asked:
    """What a request asks for; its operation is the permission that it needs."""
    matched = _find(request.method, request.url.path)
    operation = "DescribeRepositories" if _is_catalog(request) else "Ping"
    return Asked("registry", matched[0].operation if matched else operation)


async def answer(request: Request, registry: Registry, identities: Identities, asked: Asked) -> Response:
    """The answer to a container client; errors are answers too, and noted in `asked`."""
    try:
        response = await _answer(request, registry, identities, asked)
    except OciError as error:
        asked.error = error.code
        response = error.to_response()
    except EcrError as error:
        asked.error = error.code
        response = of_ecr(error.code, error.message).to_response()
    response.headers.update(VERSION)
    return response


async def _answer(request: Request, registry: Registry, identities: Identities, asked: Asked) -> Response:
    principal = login(request, registry, identities)
    asked.principal = principal.arn
    if request.url.path == "/v2/":
        return Response()
    if _is_catalog(request):
        return await contents.catalog(request, registry, principal)
    matched = _find(request.method, request.url.path)
    if matched is None:
        raise OciError(405, "UNSUPPORTED", f"{request.method} {request.url.path}")
    route, parts = matched
    asked.parameters = {name: part for name, part in parts.items() if part is not None}
    if not _NAME.fullmatch(parts["name"]):
        raise OciError(400, "NAME_INVALID", f"{parts['name']!r} is not a repository name")
    if "manifests" in route.path.pattern and not _TAG.fullmatch(parts["item"]):
        raise OciError(400, "TAG_INVALID", f"{parts['item']!r} is neither a tag nor a digest")
    exchange = Exchange(request, registry, principal, parts["name"])
    return await route.handler(exchange, *([parts["item"]] if "item" in parts else []))


def _is_catalog(request: Request) -> bool:
    return (request.method, request.url.path) == ("GET", "/v2/_catalog")


def _find(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    for route in _ROUTES:
        if route.method == method and (matched := route.path.fullmatch(path)):
            return route, matched.groupdict()
    return None
