"""Errors as RFC 9457 problem details: the only place where an error becomes an HTTP answer."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from api.http.paths import path_of
from api.http.wording import examples_of, reason_of
from service.base.errors import (
    FieldError,
    InternalError,
    InvalidError,
    ParameterError,
    RequestTimeoutError,
    WharfingerError,
)

MEDIA_TYPE = "application/problem+json"
_METHOD_NOT_ALLOWED = 405
_MOST_MISTAKES = 100
"""Told of at once: a body of nothing but mistakes would be answered with many times its size."""

log = structlog.get_logger()


class FieldProblem(BaseModel):
    """One mistake, and where it is."""

    path: str = Field(examples=["body.name"])
    reason: str


class AwsProblem(BaseModel):
    """What AWS said when it refused."""

    code: str = Field(examples=["ThrottlingException"])
    request_id: str | None


class Problem(BaseModel):
    """RFC 9457 problem details. `code` is stable; `retryable` says whether the same request may succeed later."""

    type: str = Field(examples=["urn:wharfinger:problem:repository_exists"])
    title: str
    status: int
    detail: str
    code: str = Field(examples=["repository_exists"])
    request_id: str
    errors: list[FieldProblem]
    retryable: bool
    aws: AwsProblem | None


def declare(*errors: type[WharfingerError]) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that may raise `errors`."""
    by_status: dict[int | str, list[type[WharfingerError]]] = {}
    for error in errors:
        by_status.setdefault(error.status, []).append(error)
    return {
        status: {
            "description": "; ".join(dict.fromkeys(error.title for error in group)),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, group in by_status.items()
    }


def install(app: FastAPI) -> None:
    app.add_exception_handler(WharfingerError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)


def render(request_id: str, error: WharfingerError) -> Response:
    problem = Problem(
        type=f"urn:wharfinger:problem:{error.code}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        code=error.code,
        request_id=request_id,
        errors=[FieldProblem(path=one.path, reason=one.reason) for one in error.errors],
        retryable=error.retryable,
        aws=AwsProblem(code=error.aws.code, request_id=error.aws.request_id) if error.aws else None,
    )
    response = JSONResponse(problem.model_dump() | error.members, error.status, media_type=MEDIA_TYPE)
    if error.work is not None:
        response.headers["Location"] = path_of(error.work)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if error.status == 401:  # noqa: PLR2004 - RFC 9110, section 15.5.2
        response.headers["WWW-Authenticate"] = 'Bearer realm="wharfinger"'
    return response


def _request_id(request: Request) -> str:
    return cast("str", request.state.request_id)


def _on_error(request: Request, error: Exception) -> Response:
    return render(_request_id(request), cast("WharfingerError", error))


def _on_validation(request: Request, error: Exception) -> Response:
    errors = cast("RequestValidationError", error).errors()[:_MOST_MISTAKES]
    examples = _examples(request.app) if any("pattern" in one.get("ctx", {}) for one in errors) else {}
    mistakes = [FieldError(_path(one), reason_of(one, examples)) for one in errors]
    return render(_request_id(request), refusal(mistakes))


def _path(error: ErrorDetails) -> str:
    parts = error["loc"][:1] if error["type"] == "json_invalid" else error["loc"]
    return ".".join(map(str, parts))


@cache
def _examples(app: FastAPI) -> Mapping[str, str]:
    return examples_of(app.openapi())


def refusal(mistakes: Sequence[FieldError]) -> WharfingerError:
    """422 where all mistakes are in the body, 400 where one is in a path, query or header parameter."""
    if all(one.path.startswith("body") for one in mistakes):
        return InvalidError("The request body is invalid.", errors=mistakes)
    return ParameterError("A parameter of the request is invalid.", errors=mistakes)


_DETAILS = {
    404: "There is no such path: /openapi.yaml has those that there are.",
    _METHOD_NOT_ALLOWED: "The path has other methods than this one: see Allow.",
}


class _PlainHttpError(WharfingerError):
    """What the framework itself answers: no such path, no such method."""

    def __init__(self, status: int, phrase: str) -> None:
        code = {404: "no_such_path", 405: "method_not_allowed"}.get(status, "http_error")
        super().__init__(_DETAILS.get(status, phrase), code=code)
        self.status = status  # type: ignore[misc] # one error for the few statuses that the framework answers
        self.title = phrase  # type: ignore[misc] # as above


def _on_http(request: Request, error: Exception) -> Response:
    raised = cast("HTTPException", error)
    if isinstance(raised.__cause__, WharfingerError):
        refused = render(_request_id(request), raised.__cause__)
        if isinstance(raised.__cause__, RequestTimeoutError):
            refused.headers["Connection"] = "close"  # the rest of the body may still come (RFC 9110, section 15.5.9)
        return refused
    if isinstance(raised.__cause__, ValueError | RecursionError):
        return render(_request_id(request), refusal([FieldError("body", _unreadable(raised.__cause__))]))
    response = render(_request_id(request), _PlainHttpError(raised.status_code, str(raised.detail)))
    if raised.status_code == _METHOD_NOT_ALLOWED:
        response.headers["Allow"] = ", ".join(sorted(_methods(request)))
    return response


def _unreadable(error: Exception) -> str:
    """Why the framework could not read a body as JSON, beside bad grammar, which it tells by itself."""
    if isinstance(error, UnicodeDecodeError):
        return "must be UTF-8"
    return "is nested too deeply" if isinstance(error, RecursionError) else "has a number of too many digits"


def _methods(request: Request) -> set[str]:
    """Every method of this path: the framework names those of the first route only (RFC 9110, section 15.5.6)."""
    routes = [one.original_route for one in iter_route_contexts(request.app.routes)]
    methods = {
        method
        for route in routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }
    return methods | {"HEAD"} if "GET" in methods else methods


def defect(request_id: str, error: Exception) -> Response:
    log.error("defect", exc_info=error)
    return render(request_id, InternalError("This is a defect of wharfinger; its log has more under the request id."))
