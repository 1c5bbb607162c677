"""`/v1/jobs`."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AwareDatetime, Field
from typing_extensions import TypeAliasType

from service.models.common import Model, Page, WorkEvent


class JobState(StrEnum):
    """Where a job stands: it waits for its time or for a worker, one works on it, or it is over."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"

    @property
    def is_final(self) -> bool:
        return self not in (JobState.WAITING, JobState.RUNNING)


JobProgress = TypeAliasType("JobProgress", Annotated[dict[str, Any], Field(description="In the kind's own words")])
"""By name, so that the contract has one schema for it."""


class JobError(Model):
    """Why it failed, or why it waits to be tried again; the code is as stable as those of problems."""

    code: str = Field(examples=["aws_throttled"])
    detail: str


class Job(Model):
    """Work that goes on beside the request that asked for it."""

    id: str = Field(description="That of the operation that accepted it")
    kind: str = Field(examples=["rollout"])
    key: str = Field(description="What it is about: at most one live job of a kind is about the same")
    target: str = Field(description="As the audit trail has it", examples=["demo/default/myapp"])
    state: JobState
    attempts: int = Field(description="How often it was begun, by this replica or another")
    progress: JobProgress | None
    error: JobError | None
    created_by: str = Field(description="The label of the key that asked")
    created_at: AwareDatetime
    run_at: AwareDatetime = Field(description="Not before this")
    started_at: AwareDatetime | None
    cancel_requested_at: AwareDatetime | None
    finished_at: AwareDatetime | None


class JobPage(Page):
    """One page of jobs."""

    items: list[Job]


class JobEvent(WorkEvent):
    """Something that happened to a job; its number is the `id` of the server-sent event."""

    type: str = Field(examples=["postponed"])
