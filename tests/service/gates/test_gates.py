"""What a deploy makes of its gates: what refuses it, what does not, and which are asked at all."""

from typing import cast

import pytest

from service.base.errors import AwsThrottledError, ConflictError, WharfingerError
from service.gates.findings import Finding
from service.gates.gate import Enforcement, Gate
from service.gates.gates import GATES, ask_all, pass_enforced
from service.gates.subject import Subject
from service.models.preflights import Verdict

NOBODY = cast("Subject", None)
"""The gates here look at nothing."""


class Fixed(Gate):
    """Finds what it is told to, and counts how often it is asked."""

    name = "fixed"

    def __init__(self, answer: Verdict | WharfingerError, enforcement: Enforcement) -> None:
        self._answer = answer
        self.enforcement = enforcement  # type: ignore[misc] # a test's gates differ by instance
        self.asked = 0

    async def judge(self, subject: Subject) -> Finding:
        self.asked += 1
        if isinstance(self._answer, WharfingerError):
            raise self._answer
        return Finding(self._answer, f"It is {self._answer.name.lower()}.", evidence={"asked": subject is None})


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("verdict", "enforcement", "code"),
    [
        (Verdict.PASSED, Enforcement.FAIL_OPEN, None),
        (Verdict.PASSED, Enforcement.FAIL_CLOSED, None),
        (Verdict.UNKNOWN, Enforcement.FAIL_OPEN, None),
        (Verdict.UNKNOWN, Enforcement.FAIL_CLOSED, "gate_undecided"),
        (Verdict.FAILED, Enforcement.FAIL_OPEN, "gate_failed"),
        (Verdict.FAILED, Enforcement.FAIL_CLOSED, "gate_failed"),
    ],
)
async def test_what_refuses_a_deploy(verdict: Verdict, enforcement: Enforcement, code: str | None) -> None:
    gate = Fixed(verdict, enforcement)
    if code is None:
        findings = await pass_enforced(NOBODY, [gate])
        assert (findings["fixed"].verdict, findings["fixed"].evidence) == (verdict, {"asked": True})
        return
    with pytest.raises(ConflictError, match=r"fixed.*It is ") as refused:
        await pass_enforced(NOBODY, [gate])
    assert refused.value.code == code
    assert refused.value.retryable is (code == "gate_undecided")


@pytest.mark.asyncio
async def test_a_gate_that_is_only_reported_is_not_asked_by_a_deploy() -> None:
    reported = Fixed(Verdict.FAILED, Enforcement.REPORTED)
    assert await pass_enforced(NOBODY, [reported]) == {}
    assert reported.asked == 0
    assert (await ask_all(NOBODY, [reported]))["fixed"].verdict is Verdict.FAILED


@pytest.mark.asyncio
@pytest.mark.parametrize("enforcement", [Enforcement.FAIL_OPEN, Enforcement.FAIL_CLOSED])
async def test_an_error_is_the_deploys_own_and_a_finding_of_a_preflight(enforcement: Enforcement) -> None:
    gate = Fixed(AwsThrottledError("Slow down."), enforcement)
    with pytest.raises(AwsThrottledError):
        await pass_enforced(NOBODY, [gate])
    finding = (await ask_all(NOBODY, [gate]))["fixed"]
    assert (finding.verdict, finding.evidence) == (Verdict.UNKNOWN, {"error": "aws_throttled"})


def test_each_gate_has_a_name_of_its_own() -> None:
    names = [one.name for one in GATES]
    assert len(names) == len(set(names))
