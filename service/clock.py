"""Time and identifiers, in one place so that both are aware and sortable."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import uuid_utils


def utcnow() -> datetime:
    return datetime.now(UTC)


def new_id() -> str:
    """A UUID version 7: identifiers made later sort later, which is what keyset cursors page by."""
    return str(uuid_utils.uuid7())


@dataclass(frozen=True, slots=True)
class Deadline:
    """When one request must be over: `loop_time` for asyncio, `at` for the audit row."""

    loop_time: float
    at: datetime

    @classmethod
    def after(cls, span: timedelta) -> "Deadline":
        return cls(asyncio.get_running_loop().time() + span.total_seconds(), utcnow() + span)
