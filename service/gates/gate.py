"""What a gate is, and what a deploy makes of it."""

from abc import ABC, abstractmethod
from enum import Enum, auto
from typing import ClassVar

from service.base.errors import ConflictError, WharfingerError
from service.gates.findings import Finding
from service.gates.subject import Subject
from service.models.preflights import Verdict

_TELLS_AGAIN = 10
"""Seconds after which to ask a gate again that could not tell."""


class Enforcement(Enum):
    """What a deploy makes of a gate. An error that a gate trips over is the deploy's own, whichever it is of these."""

    REPORTED = auto()
    """Nothing, and does not ask it: only a preflight spends requests on it."""
    FAIL_OPEN = auto()
    """It is refused where the gate has failed."""
    FAIL_CLOSED = auto()
    """It is refused where the gate has failed, and for now where it does not know."""


class Gate(ABC):
    """Something that an image must pass on its way to a cluster."""

    name: ClassVar[str]
    """As preflights and deployments show it: it stays."""
    enforcement: ClassVar[Enforcement] = Enforcement.REPORTED

    @abstractmethod
    async def judge(self, subject: Subject) -> Finding:
        """:raises WharfingerError: something could not be asked, and the gate has nothing to say to that."""

    def failure(self, finding: Finding) -> WharfingerError:
        """How a deploy is refused by a finding that is `failed`."""
        return ConflictError(f"Gate {self.name}: {finding.reason}", code="gate_failed")

    def refusal(self, finding: Finding) -> WharfingerError | None:
        """Why a deploy may not go on; None: it may."""
        if finding.verdict is Verdict.FAILED:
            return self.failure(finding)
        if finding.verdict is Verdict.UNKNOWN and self.enforcement is Enforcement.FAIL_CLOSED:
            text = f"Gate {self.name} can't tell yet: {finding.reason}"
            return ConflictError(text, code="gate_undecided", retryable=True, retry_after=_TELLS_AGAIN)
        return None
