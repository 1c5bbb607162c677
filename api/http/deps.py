"""What a request brings beside its body: the secret, parameters that recur, and the services of this process."""

import asyncio
from typing import Annotated, cast
from uuid import UUID

from fastapi import Path, Query, Request
from fastapi.dependencies.models import Dependant

from service.base.errors import FieldError, ParameterError
from service.container import Container

CONTAINER = "container"
READINESS = "readiness"
KEY_HEADER, MATCH_HEADER = "idempotency-key", "if-match"
KEY_PATTERN = r"^[\x21-\x7e]{1,255}$"
PRINTABLE = r"^[^\x00-\x1f\x7f]+$"
"""Of text that is looked for: PostgreSQL takes no NUL."""


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


def refuse_unknown_parameters(request: Request, known: frozenset[str]) -> None:
    """A parameter that the route does not have is a mistake, not something to ignore.

    :param known: what it has, by `query_names`.
    """
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise ParameterError(
            "The request has a parameter that this path does not know.",
            errors=[
                FieldError(f"query.{name}", f"known are: {', '.join(sorted(known)) or 'none'}") for name in unknown
            ],
        )


def query_names(dependant: Dependant) -> frozenset[str]:
    """The query parameters of a route and of all that it depends on."""
    below = (name for one in dependant.dependencies for name in query_names(one))
    return frozenset([*(field.alias for field in dependant.query_params), *below])


RegistryName = Annotated[
    str | None,
    Query(alias="registry", min_length=1, max_length=64, description="A registry of the settings; there is a default"),
]
Cursor = Annotated[str | None, Query(max_length=4096, description="`next_cursor` of the page before")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Most items of one page")]
WorkId = Annotated[UUID, Path(description="As `Location` has it")]
WAIT = "Seconds to wait for the end: 200 when it succeeded, 409 when not, 504 when it goes on"
Wait = Annotated[float | None, Query(ge=0, le=3600, description=WAIT)]
