"""`/v1/audit`."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from service.models.common import Model, Page


class Status(StrEnum):
    """What came of an operation: `pending` is open, `unknown` could not be found out."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PARTIAL = "partial"
    REFUSED = "refused"
    REPLAYED = "replayed"
    UNKNOWN = "unknown"


class Actor(Model):
    """Who did it."""

    id: str = Field(description="The id of a key; `cli` or `bootstrap` for an operator")
    label: str = Field(description="The key's label at that time")


class AwsAnswer(Model):
    """What AWS said when it refused."""

    code: str
    request_id: str | None


class Entry(Model):
    """One operation: what was about to be done, and what came of it. Complete, it never changes."""

    id: str
    parent_id: str | None
    actor: Actor
    action: str = Field(examples=["repository.create"])
    registry: str | None
    target: str = Field(examples=["local/team/app"])
    request_id: str
    client_address: str | None = Field(
        description="Where the request came from, by the connection or as a named proxy says", examples=["10.1.2.3"]
    )
    request: dict[str, Any]
    status: Status
    code: str | None = Field(description="Of the problem that was answered", examples=["repository_exists"])
    aws: AwsAnswer | None = Field(description="Where AWS refused")
    result: Annotated[dict[str, Any], Field(title="Result")] | None
    note: str | None = Field(description="What settling it found")
    started_at: AwareDatetime
    completed_at: AwareDatetime | None
    settled_by: str | None = Field(description="`request`, or `sweep` where the answer of AWS was lost")
    replay_of: str | None = Field(description="The operation whose Idempotency-Key this one came with")


class AuditPage(Page):
    """One page of the trail."""

    items: list[Entry]
