"""`/v1/jobs`: list, get, follow, cancel, retry: every kind of long work."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from api.http.answers import TAGGED, Http
from api.http.deps import PRINTABLE, Cursor, Limit, Wait, WorkId
from api.http.paths import path_of
from api.http.problems import declare
from api.http.routing import KeyedRoute
from api.http.streams import LastEventId, stream_of
from service.base.errors import ConflictError, JobFailedError, LongWork, NotFoundError, WaitTimeoutError
from service.models.jobs import Job, JobPage, JobState
from service.operations.jobs.requests import JobFilter

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=KeyedRoute)


@router.get(
    "",
    operation_id="list_jobs",
    summary="List jobs, the newest first",
    description="One's own; an auditor or an admin sees all.",
)
async def list_jobs(
    http: Http,
    kind: Annotated[
        str | None, Query(max_length=32, pattern=PRINTABLE, examples=["rollout"], description="Of this kind alone")
    ] = None,
    key: Annotated[
        str | None, Query(max_length=512, pattern=PRINTABLE, description="About this alone, as a job's `key` has it")
    ] = None,
    state: Annotated[JobState | None, Query(description="In this state alone")] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> JobPage:
    wanted = JobFilter(kind, key, state)
    return http.page(await http.services.job_requests.list(http.caller, wanted, cursor=cursor, limit=limit))


@router.get(
    "/{job_id}",
    operation_id="get_job",
    summary="Get a job, or wait for its end",
    description="One's own, or any for an auditor or an admin.",
    responses=TAGGED | declare(NotFoundError, JobFailedError, WaitTimeoutError),
)
async def get_job(job_id: WorkId, http: Http, wait: Wait = None) -> Job:
    requests, name = http.services.job_requests, str(job_id)
    if wait is None:
        return http.tagged(await requests.get(http.caller, name))
    waiting = requests.wait(http.caller, name, wait)
    return http.tagged(await http.attendance(LongWork("job", name)).during(waiting))


@router.get(
    "/{job_id}/events",
    operation_id="get_job_events",
    summary="Follow a job by server-sent events, until it is over",
    description="Each event has a number as its id: `Last-Event-ID` goes on after it.",
    responses=stream_of("JobEvent") | declare(NotFoundError),
    response_class=StreamingResponse,
)
async def get_job_events(job_id: WorkId, http: Http, last_event_id: LastEventId = 0) -> StreamingResponse:
    requests, name = http.services.job_requests, str(job_id)
    await requests.get(http.caller, name)
    return http.event_stream(requests.events(http.caller, name, last_event_id))


@router.post(
    "/{job_id}/cancel",
    operation_id="cancel_job",
    summary="End a job that nobody works on; ask the worker of another to end it",
    description="What it has done stays done. One that is asked to end does so between two of its steps.",
    responses=declare(NotFoundError, ConflictError),
)
async def cancel_job(job_id: WorkId, http: Http) -> Job:
    requests, work = http.services.job_requests, LongWork("job", str(job_id))
    http.note(await requests.cancel(await http.call(), work.id))
    return http.tagged(await http.read_back(requests.get(http.caller, work.id), work))


@router.post(
    "/{job_id}/retry",
    status_code=202,
    operation_id="retry_job",
    summary="Do again what a job that ended without success was to do",
    description="For an admin. A job of its own, which `Location` names; what the first did with its items is not done "
    "again. A kind may refuse (`job_not_repeatable`): a deployment is asked for anew.",
    responses=declare(NotFoundError, ConflictError),
)
async def retry_job(job_id: WorkId, http: Http) -> Job:
    done = await http.services.job_requests.retry(await http.call(), str(job_id))
    http.note(done)
    work = LongWork("job", done.value)
    http.set_location(path_of(work))
    return http.tagged(await http.read_back(http.services.job_requests.get(http.caller, work.id), work))
