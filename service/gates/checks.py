"""What a preflight answers: checks, each made of findings."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from service.base.errors import WharfingerError
from service.models.preflights import PreflightCheck, Verdict

_Answer = TypeVar("_Answer")


_OURS_TO_MEND = {
    "aws_permission_missing": "Let wharfinger's role do what deploy/iam/wharfinger-policy.json lists.",
    "aws_credentials": "Give wharfinger's process an AWS identity.",
}
"""What to do about errors that are about us, by their codes."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Part of a check: a sentence, and what to do about it."""

    verdict: Verdict
    detail: str
    advice: str | None = None

    def to_check(self, name: str) -> PreflightCheck:
        return PreflightCheck(name=name, verdict=self.verdict, detail=self.detail, advice=self.advice)


def tripped(error: WharfingerError) -> Finding:
    """What an error makes of a check: `unknown` where the answer stays open, as it may not be read or not now."""
    if error.code in _OURS_TO_MEND:
        return Finding(Verdict.UNKNOWN, error.detail, _OURS_TO_MEND[error.code])
    if error.retryable:
        return Finding(Verdict.UNKNOWN, error.detail, "Ask again in a while.")
    return Finding(Verdict.FAILED, error.detail)


def joined(findings: Sequence[Finding]) -> Finding:
    """All that was found, under the worst verdict; what several say is said once."""
    advice = " ".join(dict.fromkeys(one.advice for one in findings if one.advice))
    detail = " ".join(dict.fromkeys(one.detail for one in findings))
    return Finding(worst([one.verdict for one in findings]), detail, advice or None)


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    return next((one for one in (Verdict.FAILED, Verdict.UNKNOWN) if one in verdicts), Verdict.OK)


async def settled(asked: Awaitable[_Answer]) -> _Answer | WharfingerError:
    """An error as an answer, so that the other answers count."""
    try:
        return await asked
    except WharfingerError as error:
        return error
