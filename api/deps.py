"""From an HTTP request to what a service takes: the caller, the call, the services."""

import hashlib
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Header, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from service.authz import Caller
from service.clock import Deadline
from service.container import Container
from service.errors import FieldError, ParameterError
from service.ledger import Call

CONTAINER = "container"
READINESS = "readiness"


@dataclass(slots=True)
class Readiness:
    """Whether this process takes requests; the server clears it when it is told to stop."""

    is_draining: bool = False


def services_of(request: Request) -> Container:
    return cast("Container", getattr(request.state, CONTAINER))


# Dependencies are few, flat and coroutines: FastAPI resolves each wherever it is named, again and again, and sends
# plain functions through a thread pool. With a tree of thirteen a vend took twice as long.
async def authenticated(request: Request) -> Caller:
    """The caller, by the API key. Only then are the parameters looked at: who has no key learns nothing of them."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    is_bearer = scheme.lower() == "bearer"
    caller = await services_of(request).identity.authenticate(secret.strip() if is_bearer else None)
    await refuse_unknown_parameters(request)
    return caller


Authenticated = Annotated[Caller, Depends(authenticated)]


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


async def mutating_call(
    request: Request,
    caller: Authenticated,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            pattern=r"^[\x21-\x7e]+$",
            description="Makes a repeat safe: the same key and request are answered from the record",
        ),
    ] = None,
    if_match: Annotated[str | None, Header(description="Change only if the resource still has this ETag")] = None,
) -> Call:
    return Call(
        caller=caller,
        request_id=request.state.request_id,
        deadline=Deadline.after(services_of(request).settings.deadlines.request),
        fingerprint=await _fingerprint(request) if idempotency_key else "",
        idempotency_key=idempotency_key,
        if_match=if_match,
    )


async def _fingerprint(request: Request) -> str:
    query = "&".join(sorted(f"{name}={value}" for name, value in request.query_params.multi_items()))
    head = f"{request.method} {request.url.path}?{query}\n".encode()
    return hashlib.sha256(head + await request.body()).hexdigest()


Mutation = Annotated[Call, Depends(mutating_call)]
RegistryName = Annotated[
    str | None, Query(alias="registry", max_length=64, description="A registry of the settings; there is a default")
]
Cursor = Annotated[str | None, Query(max_length=4096, description="`next_cursor` of the page before")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Most items of one page")]
