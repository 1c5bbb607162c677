"""What a preflight answers."""

from enum import StrEnum
from typing import Any

from pydantic import Field

from service.models.common import Model


class Verdict(StrEnum):
    """`unknown` where it could not be found out."""

    PASSED = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


class PreflightCheck(Model):
    """One thing that was looked into; `advice` is what to do where it is not ok."""

    name: str
    verdict: Verdict
    detail: str
    advice: str | None
    evidence: dict[str, Any] = Field(description="What was read for it")


class Preflight(Model):
    """What was looked into, with the worst verdict."""

    cluster: str
    namespace: str
    image: str
    verdict: Verdict
    checks: list[PreflightCheck]
