"""From an HTTP request to what a service takes: the caller, the call, the services."""

import asyncio
import hashlib
import re
from typing import Annotated, cast

from fastapi import Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from service.authz import Caller
from service.container import Container
from service.errors import FieldError, ParameterError
from service.ledger import Call

CONTAINER = "container"
READINESS = "readiness"
KEY_HEADER, MATCH_HEADER = "idempotency-key", "if-match"
KEY_PATTERN = r"^[\x21-\x7e]{1,255}$"
_KEY = re.compile(KEY_PATTERN)


class Readiness:
    """Whether this process takes requests: `ending` is set when it is told to stop."""

    def __init__(self) -> None:
        self.ending = asyncio.Event()

    @property
    def is_draining(self) -> bool:
        return self.ending.is_set()


def services_of(request: Request) -> Container:
    return cast("Container", getattr(request.state, CONTAINER))


def readiness_of(request: Request) -> Readiness:
    return cast("Readiness", getattr(request.state, READINESS))


def bearer_of(request: Request) -> str | None:
    """The secret that the request came with, if it came with any."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else None


def caller_of(request: Request) -> Caller:
    """Who asks; `api.routing` has found out before anything else was looked at."""
    return cast("Caller", request.state.caller)


async def refuse_unknown_parameters(request: Request) -> None:
    """A parameter that this route does not have is a mistake, not something to ignore."""
    route = cast("APIRoute", request.scope["route"])
    known = _query_names(route.dependant)
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise ParameterError(
            "The request has a parameter that this path does not know.",
            errors=[
                FieldError(f"query.{name}", f"known are: {', '.join(sorted(known)) or 'none'}") for name in unknown
            ],
        )


_known_names: dict[int, frozenset[str]] = {}


def _query_names(dependant: Dependant) -> frozenset[str]:
    if id(dependant) not in _known_names:
        below = (name for one in dependant.dependencies for name in _query_names(one))
        _known_names[id(dependant)] = frozenset([*(field.alias for field in dependant.query_params), *below])
    return _known_names[id(dependant)]


async def call_of(request: Request) -> Call:
    """What a change is asked with, beside its body.

    :raises ParameterError: the Idempotency-Key is none.
    """
    # Its headers are described in `api.openapi`: as parameters of the framework's they would take longer to read.
    key = request.headers.get(KEY_HEADER)
    if key is not None and not _KEY.fullmatch(key):
        mistake = FieldError(f"header.{KEY_HEADER}", f"must match {KEY_PATTERN}, like build-17")
        raise ParameterError("A parameter of the request is invalid.", errors=[mistake])
    return Call(
        caller=caller_of(request),
        request_id=request.state.request_id,
        deadline=request.state.deadline,
        fingerprint=await _fingerprint(request) if key else "",
        idempotency_key=key,
        if_match=request.headers.get(MATCH_HEADER),
        client_address=request.client.host if request.client else None,
    )


async def _fingerprint(request: Request) -> str:
    query = "&".join(sorted(f"{name}={value}" for name, value in request.query_params.multi_items()))
    head = f"{request.method} {request.url.path}?{query}\n".encode()
    return hashlib.sha256(head + await request.body()).hexdigest()


RegistryName = Annotated[
    str | None,
    Query(alias="registry", min_length=1, max_length=64, description="A registry of the settings; there is a default"),
]
Cursor = Annotated[str | None, Query(max_length=4096, description="`next_cursor` of the page before")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Most items of one page")]
