"""Liveness, readiness and metrics: for the platform, without a key."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from api.http.deps import readiness_of, services_of
from api.http.problems import declare
from service.base.errors import DatabaseError, NotServingError, UnavailableError

router = APIRouter(tags=["operations"])


class Health(BaseModel):
    """That the process answers."""

    status: str


@router.get(
    "/healthz",
    operation_id="get_health",
    summary="Whether the process lives",
    description="No more than that it answers.",
)
async def get_health() -> Health:
    return Health(status="ok")


@router.get(
    "/readyz",
    operation_id="get_readiness",
    summary="Whether requests should be sent here",
    description="Not while its database can't be written, nor once it was told to stop.",
    responses=declare(DatabaseError),
)
async def get_readiness(request: Request) -> Health:
    if readiness_of(request).is_draining:
        raise UnavailableError("This process is shutting down.")
    await services_of(request).write_probe.check()
    return Health(status="ready")


@router.get(
    "/metrics",
    operation_id="get_metrics",
    summary="Figures for Prometheus",
    description="In its text format.",
    response_class=Response,
)
async def get_metrics(request: Request) -> Response:
    await services_of(request).observe()
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def refuse(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Answer all else in a process that works on jobs alone.

    Not as an unknown path: a client would take it for a repository that is not there.
    """
    raise NotServingError("It has /healthz, /readyz and /metrics alone: send the request to a replica that serves.")
