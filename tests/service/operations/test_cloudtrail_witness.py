"""CloudTrail as a witness: what of its word is believed, and when it is not asked."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from service.access.actions import Action
from service.base.clock import running, utcnow
from service.base.errors import AwsPermissionError, AwsThrottledError, WharfingerError
from service.clients.cloudtrail import CloudTrail, Event
from service.models.audit import Status
from service.operations.calls import Open, Settled
from service.operations.cloudtrail_witness import CloudTrailWitness
from tests.service.machine import Machine

pytestmark = pytest.mark.asyncio

OPERATION = Open("an-id", Action.IMAGE_TAG, "local", {})
FOUND = Settled(Status.UNKNOWN, "changed since", if_done={"digest": "ours"})
PATIENCE = timedelta(minutes=20)


class ToldTrail(CloudTrail):
    """Says what it is told to."""

    def __init__(self, says: Sequence[Event] | WharfingerError) -> None:
        self.says = says
        self.asked = 0

    async def find(self, operation_id: str, call: str, since: datetime, until: datetime) -> Sequence[Event]:
        assert (operation_id, call) == (OPERATION.id, "PutImage")
        assert since < utcnow() < until
        self.asked += 1
        if isinstance(self.says, WharfingerError):
            raise self.says
        return self.says


async def decide(says: Sequence[Event] | WharfingerError, *, after: timedelta = timedelta(0)) -> Settled | None:
    witness = CloudTrailWitness(trail_of=lambda _: ToldTrail(says), patience=PATIENCE)
    return await witness.decide(OPERATION, FOUND, "PutImage", utcnow() - after)


async def test_an_event_without_an_error_proves_that_it_was_done() -> None:
    found = await decide([Event("refused", "ThrottlingException"), Event("done", None)])
    assert found
    assert (found.status, found.result) == (Status.SUCCEEDED, {"digest": "ours"})


async def test_a_refusal_proves_that_it_was_not() -> None:
    found = await decide([Event("refused", "ImageTagAlreadyExistsException")])
    assert found
    assert (found.status, found.result) == (Status.FAILED, None)


@pytest.mark.parametrize("code", ["ThrottlingException", "ServerException", "InternalFailure", "ServiceFailure"])
async def test_a_throttle_or_a_failure_of_aws_proves_nothing(code: str) -> None:
    assert await decide([Event("e", code)]) is None
    assert await decide([Event("e", code)], after=PATIENCE * 2) == FOUND


@pytest.mark.parametrize("says", [(), AwsThrottledError("Slower.")], ids=["no event", "throttled"])
async def test_it_is_waited_for_and_not_for_ever(says: Sequence[Event] | WharfingerError) -> None:
    assert await decide(says) is None
    assert await decide(says, after=PATIENCE * 2) == FOUND


async def test_who_may_not_ask_asks_once_in_a_long_time() -> None:
    machine, told = Machine(), ToldTrail(AwsPermissionError("grant it"))
    witness = CloudTrailWitness(trail_of=lambda _: told, patience=PATIENCE)
    with running(machine.boot()):
        for _ in range(3):
            assert await witness.decide(OPERATION, FOUND, "PutImage", utcnow()) == FOUND
        assert told.asked == 1
        machine.wait(timedelta(hours=2))
        await witness.decide(OPERATION, FOUND, "PutImage", utcnow())
    assert told.asked == 2


async def test_without_patience_it_is_not_asked() -> None:
    told = ToldTrail([Event("done", None)])
    witness = CloudTrailWitness(trail_of=lambda _: told, patience=timedelta(0))
    assert (await witness.decide(OPERATION, FOUND, "PutImage", utcnow()), told.asked) == (FOUND, 0)
