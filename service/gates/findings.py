"""What a gate gives: a finding, and how several become one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.base.errors import WharfingerError
from service.models.preflights import Verdict

_OURS_TO_MEND = {
    "aws_permission_missing": "Let wharfinger's role do what deploy/iam/wharfinger-policy.json lists.",
    "aws_credentials": "Give wharfinger's process an AWS identity.",
    "cache_rules_unknown": "Let wharfinger's role do what deploy/iam/wharfinger-policy.json lists.",
    "image_may_import": "Deploy it: that is an operation, and may read the manifest.",
}
"""What to do about errors that say nothing of the image or the cluster, by their codes."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict, why, what to do about it, and what was read for it."""

    verdict: Verdict
    reason: str
    advice: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """JSON: who looks at it later sees what the verdict stood on."""


def tripped(error: WharfingerError) -> Finding:
    """What an error makes of a gate: `unknown` where the answer stays open, as it may not be read or not now."""
    evidence = {"error": error.code}
    if error.code in _OURS_TO_MEND:
        return Finding(Verdict.UNKNOWN, error.detail, _OURS_TO_MEND[error.code], evidence)
    if error.retryable:
        return Finding(Verdict.UNKNOWN, error.detail, "Ask again in a while.", evidence)
    return Finding(Verdict.FAILED, error.detail, evidence=evidence)


def joined(findings: Sequence[Finding], evidence: Mapping[str, Any]) -> Finding:
    """All of them under the worst verdict; what several say is said once."""
    advice = " ".join(dict.fromkeys(one.advice for one in findings if one.advice))
    reason = " ".join(dict.fromkeys(one.reason for one in findings))
    return Finding(worst([one.verdict for one in findings]), reason, advice or None, evidence)


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    return next((one for one in (Verdict.FAILED, Verdict.UNKNOWN) if one in verdicts), Verdict.PASSED)
