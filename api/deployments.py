"""`/v1/deployments`: create, list, get, follow, roll back, cancel, delete."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from api.http.answers import PLAIN_TEXT, TAGGED, Http
from api.http.deps import WAIT, Cursor, Limit, RegistryName, Wait, WorkId
from api.http.paths import path_of
from api.http.problems import declare
from api.http.routing import KeyedRoute
from api.http.streams import LastEventId, stream_of
from service.base.errors import (
    ClusterPermissionError,
    ClusterUnavailableError,
    ConflictError,
    DeploymentFailedError,
    LongWork,
    NotFoundError,
    PreconditionError,
    TooLargeError,
    WaitTimeoutError,
)
from service.deployments.listing import DeploymentFilter
from service.models.deployments import (
    ClusterName,
    Deployment,
    DeploymentCreate,
    DeploymentPage,
    DeploymentRollback,
    DeploymentStatus,
    DryRun,
    NamespaceName,
    WorkloadName,
)
from service.operations.calls import Call, Done

router = APIRouter(prefix="/v1/deployments", tags=["deployments"], route_class=KeyedRoute)

_UNKEYED = "; 0 does not wait. Asked again without an `Idempotency-Key`, it is another deployment"
WaitOfChange = Annotated[float | None, Query(ge=0, le=3600, description=WAIT + _UNKEYED)]
_ACCEPTED: dict[int | str, dict[str, Any]] = {
    200: {"model": Deployment, "description": "It succeeded within the time to wait"} | PLAIN_TEXT[200],
    202: {"model": Deployment, "description": "Accepted; `Location` says where to look"},
}
_THE_LAST = DeploymentRollback(to=None)
_FAILURES = declare(
    NotFoundError,
    ConflictError,
    DeploymentFailedError,
    TooLargeError,
    ClusterPermissionError,
    ClusterUnavailableError,
    WaitTimeoutError,
)


@router.post(
    "",
    status_code=202,
    operation_id="create_deployment",
    summary="Deploy an image by digest, as a Deployment and, with a port, a Service",
    description=(
        "Checked before it is accepted: the image, its platforms, and a dry run of the API server. "
        "With `?dry_run=true` that is all, and the answer says what would change. "
        "`Accept: text/plain` with `?wait=` answers the URL alone."
    ),
    responses=_ACCEPTED
    | {200: _ACCEPTED[200] | {"model": Deployment | DryRun, "description": "It succeeded; or what would change"}}
    | _FAILURES,
    response_model=Deployment,
)
async def create_deployment(
    body: DeploymentCreate,
    http: Http,
    registry: RegistryName = None,
    wait: WaitOfChange = None,
    dry_run: Annotated[bool, Query(description="Change nothing, and say what would change")] = False,
) -> object:
    if dry_run:
        return http.unchecked(await http.services.deployments.preview(http.caller, registry, body))
    call = await http.call()
    return await _answer(http, call, await http.services.deployments.create(call, registry, body), wait)


@router.get(
    "",
    operation_id="list_deployments",
    summary="List deployments, the newest first: a target's history",
    description="Those that the caller may read. Cluster, namespace and name together are a target.",
)
async def list_deployments(
    http: Http,
    cluster: Annotated[ClusterName | None, Query(description="Of this cluster alone")] = None,
    namespace: Annotated[NamespaceName | None, Query(description="Of this namespace alone")] = None,
    name: Annotated[WorkloadName | None, Query(description="Of this workload alone")] = None,
    status: Annotated[DeploymentStatus | None, Query(description="In this state alone")] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> DeploymentPage:
    wanted = DeploymentFilter(cluster, namespace, name, status)
    return http.page(await http.services.deployments.list(http.caller, wanted, cursor=cursor, limit=limit))


@router.get(
    "/{deployment_id}",
    operation_id="get_deployment",
    summary="Get a deployment, or wait for its end",
    description="`Accept: text/plain` answers its first URL alone.",
    responses=PLAIN_TEXT | TAGGED | declare(NotFoundError, DeploymentFailedError, WaitTimeoutError),
    response_model=Deployment,
)
async def get_deployment(deployment_id: WorkId, http: Http, wait: Wait = None) -> object:
    deployments, name = http.services.deployments, str(deployment_id)
    if wait is None:
        deployment = await deployments.get(http.caller, name)
    else:
        deployment = await _waited(http, name, wait, is_repeatable=True)
    return http.tagged_or_line(deployment, line=next(iter(deployment.urls), ""))


@router.get(
    "/{deployment_id}/events",
    operation_id="get_deployment_events",
    summary="Follow a deployment by server-sent events, until it is over",
    description="Each event has a number as its id: `Last-Event-ID` goes on after it.",
    responses=stream_of("DeploymentEvent") | declare(NotFoundError),
    response_class=StreamingResponse,
)
async def get_deployment_events(deployment_id: WorkId, http: Http, last_event_id: LastEventId = 0) -> StreamingResponse:
    deployments, name = http.services.deployments, str(deployment_id)
    await deployments.get(http.caller, name)
    return http.event_stream(deployments.events(http.caller, name, last_event_id))


@router.post(
    "/{deployment_id}/rollback",
    status_code=202,
    operation_id="roll_back_deployment",
    summary="Go back to the last deployment that succeeded before this one, or to a named one",
    description="A deployment of its own, with that one's image and settings. Without a body, to the last.",
    responses=_ACCEPTED | _FAILURES,
    response_model=Deployment,
)
async def roll_back_deployment(
    deployment_id: WorkId, http: Http, wait: WaitOfChange = None, body: DeploymentRollback = _THE_LAST
) -> object:
    call = await http.call()
    return await _answer(http, call, await http.services.deployments.rollback(call, str(deployment_id), body.to), wait)


@router.post(
    "/{deployment_id}/cancel",
    operation_id="cancel_deployment",
    summary="Stop following a rollout; the cluster stays as it is",
    description="To undo what it did, roll back or deploy anew.",
    responses=declare(NotFoundError, ConflictError),
)
async def cancel_deployment(deployment_id: WorkId, http: Http) -> Deployment:
    deployments, work = http.services.deployments, LongWork("deployment", str(deployment_id))
    http.note(await deployments.cancel(await http.call(), work.id))
    return http.tagged(await http.read_back(deployments.get(http.caller, work.id), work))


@router.delete(
    "/{deployment_id}",
    status_code=202,
    operation_id="delete_deployment",
    summary="Remove the Deployment and the Service of this deployment's target, where they are ours",
    description="A deployment of its own, which `Location` names; the history stays.",
    responses=_ACCEPTED | _FAILURES | declare(PreconditionError),
    response_model=Deployment,
)
async def delete_deployment(
    deployment_id: WorkId,
    http: Http,
    wait: WaitOfChange = None,
    force: Annotated[bool, Query(description="Also where another deployment of the target is newer")] = False,
) -> object:
    call = await http.call()
    done = await http.services.deployments.delete(call, str(deployment_id), force=force)
    return await _answer(http, call, done, wait)


async def _answer(http: Http, call: Call, done: Done[str], wait: float | None) -> object:
    """Where to look; or with `wait`, what came of it."""
    http.note(done)
    work = LongWork("deployment", done.value)
    http.set_location(path_of(work))
    if not wait:
        return http.tagged(await http.read_back(http.services.deployments.get(http.caller, work.id), work))
    http.mark_done()
    deployment = await _waited(http, done.value, wait, is_repeatable=call.idempotency_key is not None)
    return http.tagged_or_line(deployment, line=next(iter(deployment.urls), ""))


async def _waited(http: Http, deployment_id: str, seconds: float, *, is_repeatable: bool) -> Deployment:
    waiting = http.services.deployments.wait(http.caller, deployment_id, seconds, is_repeatable=is_repeatable)
    return await http.attendance(LongWork("deployment", deployment_id), is_repeatable=is_repeatable).during(waiting)
