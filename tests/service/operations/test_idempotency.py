"""Repeats with an Idempotency-Key: done once, answered from the record, and never to someone who may not."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from service.access.actions import Action
from service.access.authz import Caller
from service.base.errors import (
    AnswerLostError,
    ConflictError,
    InProgressError,
    InvalidError,
    NotFoundError,
    OutcomeUnknownError,
    PartialError,
    UndeterminedError,
)
from service.base.permits import permit
from service.models.audit import Status
from service.operations.calls import Done, Intent, Outcome, Settled
from service.operations.ledger import Ledger
from service.operations.operations import Operations, Settling
from tests.service.acts import RESULT, Act, HeldAct, Look
from tests.service.calls import CALLER, intent, make_call
from tests.service.conftest import Remembered, Rows

pytestmark = pytest.mark.asyncio

REFUSED = ConflictError("It exists.", code="repository_exists")


@dataclass(frozen=True, slots=True)
class Link:
    """What a caller gets, which is not JSON."""

    to: str


async def test_a_repeat_is_answered_from_the_record(operate: Operations, rows: Rows) -> None:
    act = Act()
    first = await operate.run(make_call(key="k"), intent(), act)
    again = await operate.run(make_call(key="k"), intent(), act)
    assert again == Done(first.operation_id, RESULT, is_replayed=True)
    assert act.calls == [first.operation_id]
    done, replayed = await rows()
    assert (replayed["status"], replayed["replay_of"]) == (Status.REPLAYED, done["id"])


async def test_a_repeat_has_its_value_made_of_what_was_recorded(operate: Operations) -> None:
    of = intent()
    asked = Intent(of.action, of.target, of.request, lambda recorded: Link(recorded["uri"]))

    async def act(_: str) -> Outcome[Link]:
        return Outcome({"uri": "team/app"}, Link("team/app"))

    first = await operate.run(make_call(key="k"), asked, act)
    again = await operate.run(make_call(key="k"), asked, act)
    assert (first.value, again.value, again.is_replayed) == (Link("team/app"), Link("team/app"), True)


async def test_of_twenty_at_once_one_acts_and_all_answers_agree(operate: Operations) -> None:
    act = Act()
    answers = await asyncio.gather(
        *(operate.run(make_call(key="k"), intent(), act) for _ in range(20)), return_exceptions=True
    )
    assert len(act.calls) == 1
    assert {type(answer) for answer in answers} <= {Done, InProgressError}
    assert {answer.operation_id for answer in answers if isinstance(answer, Done)} == set(act.calls)


async def test_the_same_key_with_another_request_is_a_mistake(operate: Operations) -> None:
    act = Act()
    await operate.run(make_call(key="k"), intent(), act)
    with pytest.raises(InvalidError) as caught:
        await operate.run(make_call(key="k", fingerprint="another"), intent(), act)
    assert caught.value.code == "idempotency_key_reused"
    assert len(act.calls) == 1


async def test_a_repeat_of_what_is_still_at_work_is_told_to_wait(operate: Operations, rows: Rows) -> None:
    held = HeldAct()
    first = asyncio.create_task(operate.run(make_call(key="k"), intent(), held))
    await held.is_at_work.wait()
    with pytest.raises(InProgressError) as caught:
        await operate.run(make_call(key="k"), intent(), held)
    held.may_end.set()
    done = await first
    assert (held.calls, caught.value.retry_after) == (1, 5)
    assert [(row["status"], row["replay_of"]) for row in (await rows())[1:]] == [(Status.REFUSED, done.operation_id)]


async def test_a_known_failure_frees_the_key(operate: Operations, remembered: Remembered) -> None:
    with pytest.raises(ConflictError):
        await operate.run(make_call(key="k"), intent(), Act(fails_with=REFUSED))
    assert await remembered() == []
    done = await operate.run(make_call(key="k"), intent(), Act())
    assert not done.is_replayed


async def test_a_repeat_of_what_was_done_in_part_goes_on_from_there(
    operate: Operations, rows: Rows, remembered: Remembered
) -> None:
    told: list[Sequence[str]] = []

    async def note() -> None:
        leave = permit.get()
        assert leave
        told.append(leave.applied)

    with pytest.raises(PartialError):
        await operate.run(make_call(key="k"), intent(), Act(fails_with=PartialError(["tags"], REFUSED)))
    with pytest.raises(PartialError) as caught:
        await operate.run(make_call(key="k"), intent(), Act(before=note, fails_with=REFUSED))
    done = await operate.run(make_call(key="k"), intent(), Act(before=note))
    again = await operate.run(make_call(key="k"), intent(), Act(before=note))

    first, second, third, _ = await rows()
    assert (caught.value.applied, told) == (("tags",), [("tags",), ("tags",)])
    assert [row["status"] for row in (first, second, third)] == [Status.PARTIAL, Status.PARTIAL, Status.SUCCEEDED]
    assert (second["replay_of"], third["replay_of"]) == (first["id"], second["id"])
    assert again == replace(done, is_replayed=True)
    assert await remembered() == [done.operation_id]


async def test_of_repeats_at_once_one_goes_on(operate: Operations) -> None:
    with pytest.raises(PartialError):
        await operate.run(make_call(key="k"), intent(), Act(fails_with=PartialError(["tags"], REFUSED)))
    act = Act()
    answers = await asyncio.gather(
        *(operate.run(make_call(key="k"), intent(), act) for _ in range(10)), return_exceptions=True
    )
    assert len(act.calls) == 1
    assert {type(answer) for answer in answers} <= {Done, InProgressError}


async def test_a_repeat_of_what_nobody_can_tell_does_nothing_and_says_what_is_there(
    operate: Operations, ledger: Ledger, rows: Rows
) -> None:
    found = {"digest": "another"}
    operate.settles({Action.REPOSITORY_CREATE: Settling(Look(Settled(Status.UNKNOWN, "changed since", found=found)))})
    past = make_call(key="k", within=timedelta(seconds=-1))
    operation_id = await ledger.open_with_key(past, intent())
    [claimed] = await ledger.claim(list(Action), overdue_since=timedelta(0), hold=timedelta(seconds=30))
    await ledger.settle(claimed, Settled(Status.UNKNOWN, "neither"))
    act = Act()
    with pytest.raises(UndeterminedError, match="new Idempotency-Key") as caught:
        await operate.run(make_call(key="k"), intent(), act)
    assert (caught.value.code, caught.value.retryable) == ("outcome_undetermined", False)
    assert caught.value.members == {
        "operation": operation_id,
        "known": "neither",
        "now": {"note": "changed since", "found": found},
    }
    refused = (await rows())[1]
    assert (act.calls, refused["code"], refused["replay_of"]) == ([], "outcome_undetermined", operation_id)


async def test_an_unknown_outcome_keeps_the_key(operate: Operations, remembered: Remembered) -> None:
    act = Act()
    with pytest.raises(OutcomeUnknownError):
        await operate.run(make_call(key="k"), intent(), Act(fails_with=AnswerLostError("Lost.")))
    with pytest.raises(InProgressError):
        await operate.run(make_call(key="k"), intent(), act)
    assert act.calls == []
    assert len(await remembered()) == 1


async def test_a_key_that_has_expired_stands_for_a_new_request(ledger: Ledger) -> None:
    forgetful = Operations(ledger=Ledger(database=ledger._database, remember=timedelta(seconds=-1)))
    act = Act()
    for _ in range(2):
        await forgetful.run(make_call(key="k"), intent(), act)
    assert len(act.calls) == 2


async def test_a_replay_is_for_those_who_may_still_do_it(operate: Operations, rows: Rows) -> None:
    await operate.run(make_call(key="k"), intent(), Act())
    stripped = Caller(CALLER.id, CALLER.label, ())
    with pytest.raises(NotFoundError):
        await operate.run(make_call(key="k", caller=stripped), intent(), Act())
    assert [row["status"] for row in await rows()] == [Status.SUCCEEDED, Status.REFUSED]


async def test_an_answer_that_shows_a_secret_is_not_given_again(operate: Operations, rows: Rows) -> None:
    secret = replace(intent(), restore=None)
    done = await operate.run(make_call(key="k"), secret, Act())
    with pytest.raises(ConflictError, match=done.operation_id) as caught:
        await operate.run(make_call(key="k"), secret, Act())
    assert caught.value.code == "secret_not_replayable"
    assert [(row["status"], row["replay_of"]) for row in (await rows())[1:]] == [(Status.REFUSED, done.operation_id)]
