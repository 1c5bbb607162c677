"""What all models share."""

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
)

_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def _to_utc(when: datetime) -> datetime:
    # A day from the calendar's ends, a time can't be put in every zone; databases and drivers do just that.
    if not _EARLIEST <= when < _LATEST:
        raise ValueError("must be between the years 1970 and 9998")
    return when.astimezone(UTC)


def _not_a_number(value: object) -> object:
    """JSON has no times: a number would be taken for seconds since 1970, and a number for a span of them."""
    if isinstance(value, int | float):
        raise ValueError("must be a string")  # noqa: TRY004 - pydantic takes nothing else for a mistake of the caller
    return value


AsText = BeforeValidator(_not_a_number)
UtcTime = Annotated[AwareDatetime, AfterValidator(_to_utc), AsText]
"""A time that a caller names: with its zone, and kept in UTC."""


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Page(Model):
    """One page of a list; without `next_cursor` it is the last."""

    next_cursor: str | None


class WorkEvent(Model):
    """Something that happened to long work; its number is the `id` of the server-sent event."""

    number: int
    at: AwareDatetime
    type: str
    data: dict[str, Any]


def etag_of(model: BaseModel) -> str:
    """A strong validator of a resource's present state (RFC 9110, section 8.8.3)."""
    return '"' + hashlib.sha256(model.model_dump_json().encode()).hexdigest()[:32] + '"'
