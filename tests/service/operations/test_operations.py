"""Operations: recorded before they act, acted once, and never said to be done or failed without knowing."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from service.access.actions import Action, Role
from service.access.authz import Binding, Caller, Target
from service.base.clock import new_id, utcnow
from service.base.db import Database
from service.base.errors import (
    AnswerLostError,
    AwsRefusal,
    AwsThrottledError,
    AwsUnavailableError,
    ConflictError,
    DatabaseError,
    DeadlineError,
    ForbiddenError,
    InternalError,
    NotFoundError,
    OutcomeUnknownError,
    PartialError,
    WharfingerError,
)
from service.base.permits import permit
from service.base.tables import keys
from service.models.audit import Status
from service.operations.calls import Intent, Json, Outcome, Settled
from service.operations.ledger import Ledger
from service.operations.operations import Operations, Settling
from tests.service.acts import RESULT, Act, HeldAct, Look, Outage
from tests.service.calls import intent, make_call
from tests.service.conftest import Remembered, Rows

pytestmark = pytest.mark.asyncio

ADMIN = Caller("caller-2", "operator", (Binding(role=Role.ADMIN),))
REFUSED = ConflictError("It exists.", code="repository_exists", aws=AwsRefusal("RepositoryAlreadyExistsException", "r"))
THROTTLED = AwsThrottledError("Slower.", aws=AwsRefusal("ThrottlingException", "r"))


async def test_it_is_recorded_before_it_is_done_and_its_outcome_after(operate: Operations, rows: Rows) -> None:
    seen: list[str] = []

    async def look() -> None:
        seen.extend(row["status"] for row in await rows())

    act = Act(before=look)
    done = await operate.run(make_call(), intent(), act)
    [row] = await rows()
    assert seen == [Status.PENDING]
    assert (row["id"], row["status"], row["result"]) == (done.operation_id, Status.SUCCEEDED, RESULT)
    assert act.calls == [done.operation_id]
    assert (done.value, done.is_replayed) == (RESULT, False)


async def test_no_transaction_is_open_while_aws_is_asked(operate: Operations, ledger: Ledger, rows: Rows) -> None:
    act = Act(before=lambda: ledger.open(make_call(), intent()))
    await operate.run(make_call(), intent(), act)
    assert len(await rows()) == 2


async def test_leave_to_change_aws_ends_with_the_operation(operate: Operations) -> None:
    await operate.run(make_call(), intent(), Act())
    assert permit.get() is None
    with pytest.raises(ConflictError):
        await operate.run(make_call(), intent(), Act(fails_with=REFUSED))
    assert permit.get() is None


async def test_a_refusal_by_aws_is_recorded_with_its_code(operate: Operations, rows: Rows) -> None:
    with pytest.raises(ConflictError):
        await operate.run(make_call(), intent(), Act(fails_with=REFUSED, is_sent=True))
    [row] = await rows()
    assert (row["status"], row["code"]) == (Status.FAILED, "repository_exists")
    assert row["aws"] == {"code": "RepositoryAlreadyExistsException", "request_id": "r"}


async def test_what_was_made_in_part_is_recorded_as_such(operate: Operations, rows: Rows) -> None:
    with pytest.raises(PartialError):
        await operate.run(make_call(), intent(), Act(fails_with=PartialError(["tags"], THROTTLED), is_sent=True))
    [row] = await rows()
    assert (row["status"], row["result"]) == (Status.PARTIAL, {"applied": ["tags"]})
    assert row["aws"]["code"] == "ThrottlingException"


async def test_a_refusal_of_ours_is_recorded_and_nothing_is_done(operate: Operations, rows: Rows) -> None:
    act = Act()
    with pytest.raises(ForbiddenError):
        await operate.run(make_call(), intent(Action.POLICY_PUT_FOREIGN), act)
    with pytest.raises(NotFoundError):
        await operate.run(make_call(key="k"), intent(repository="other/app"), act)
    assert act.calls == []
    assert [(row["status"], row["code"]) for row in await rows()] == [
        (Status.REFUSED, "forbidden"),
        (Status.REFUSED, "repository_not_found"),
    ]


async def test_every_permission_that_is_required_is_asked_for(operate: Operations) -> None:
    mine, theirs = Target("local", "team/app"), Target("local", "other/app")
    both = replace(intent(), requires=((Action.TOKEN_PULL, mine), (Action.TOKEN_PULL, theirs)))
    with pytest.raises(NotFoundError, match="other/app"):
        await operate.run(make_call(), both, Act())


async def test_what_asks_nothing_of_aws_is_one_complete_row(operate: Operations, rows: Rows) -> None:
    await operate.record(make_call(), intent(), Outcome(RESULT, RESULT))
    with pytest.raises(NotFoundError):
        await operate.record(make_call(), intent(repository="other/app"), Outcome(RESULT, RESULT))
    assert [(row["status"], row["result"]) for row in await rows()] == [("succeeded", RESULT), ("refused", None)]


@pytest.mark.parametrize(
    ("fails_with", "is_sent"),
    [
        (AnswerLostError("Lost."), True),
        (TimeoutError(), True),
        (RuntimeError("a defect"), True),
    ],
    ids=["answer", "deadline", "defect"],
)
async def test_a_lost_answer_leaves_the_row_open(
    operate: Operations, rows: Rows, fails_with: Exception, *, is_sent: bool
) -> None:
    with pytest.raises(OutcomeUnknownError) as caught:
        await operate.run(make_call(), intent(), Act(fails_with=fails_with, is_sent=is_sent))
    [row] = await rows()
    assert (row["status"], row["completed_at"]) == (Status.PENDING, None)
    assert row["id"] in caught.value.detail


@pytest.mark.parametrize(
    ("fails_with", "error", "code"),
    [
        (TimeoutError(), DeadlineError, "deadline_exceeded"),
        (RuntimeError("a defect"), InternalError, "internal_error"),
        (AwsUnavailableError("AWS could not be reached."), AwsUnavailableError, "aws_unavailable"),
    ],
)
async def test_what_was_not_sent_has_failed(
    operate: Operations, rows: Rows, fails_with: Exception, error: type[WharfingerError], code: str
) -> None:
    with pytest.raises(error):
        await operate.run(make_call(), intent(), Act(fails_with=fails_with))
    [row] = await rows()
    assert (row["status"], row["code"]) == (Status.FAILED, code)


async def test_the_deadline_ends_a_wait_for_aws(operate: Operations) -> None:
    held, call = HeldAct(), make_call(within=timedelta(minutes=1))
    # AWS alone gets little time: where to record what came of it takes too long, the answer is another.
    deadline = replace(call.deadline, act_by=asyncio.get_running_loop().time() + 1)
    with pytest.raises(DeadlineError):
        await operate.run(replace(call, deadline=deadline), intent(), held)
    assert held.calls == 1


async def test_an_attempt_without_an_answer_and_then_no_connection_is_unknown(operate: Operations) -> None:
    never = AwsUnavailableError("AWS could not be reached.")
    with pytest.raises(OutcomeUnknownError):
        await operate.run(make_call(), intent(), Act(fails_with=never, is_sent=True, is_doubtful=True))


async def test_a_refusal_after_an_attempt_without_an_answer_may_be_of_our_own_doing(
    operate: Operations, rows: Rows
) -> None:
    look = Look(Settled(Status.SUCCEEDED, "found", {"uri": "found"}))
    operate.settles({Action.REPOSITORY_CREATE: Settling(look, proves=True)})
    done = await operate.run(make_call(), intent(), Act(fails_with=REFUSED, is_sent=True, is_doubtful=True))
    [row] = await rows()
    assert (done.operation_id, done.value) == (row["id"], {"uri": "found"})
    assert (row["status"], row["result"]) == (Status.SUCCEEDED, {"uri": "found"})
    assert [operation.id for operation in look.looked_at] == [row["id"]]


@pytest.mark.parametrize("finds", [Settled(Status.FAILED, "absent"), Settled(Status.PARTIAL, "some", {})])
async def test_a_refusal_after_an_attempt_without_an_answer_is_not_judged_at_once(
    operate: Operations, rows: Rows, remembered: Remembered, finds: Settled
) -> None:
    operate.settles({Action.REPOSITORY_CREATE: Settling(Look(finds), proves=True)})
    with pytest.raises(OutcomeUnknownError):
        await operate.run(make_call(key="k"), intent(), Act(fails_with=REFUSED, is_sent=True, is_doubtful=True))
    [row] = await rows()
    assert (row["completed_at"], await remembered()) == (None, [row["id"]])


async def test_a_success_that_may_be_somebody_elses_is_not_believed_at_once(operate: Operations, rows: Rows) -> None:
    look = Look(Settled(Status.SUCCEEDED, "found", {"uri": "found"}))
    operate.settles({Action.REPOSITORY_CREATE: Settling(look)})
    with pytest.raises(OutcomeUnknownError):
        await operate.run(make_call(), intent(), Act(fails_with=REFUSED, is_sent=True, is_doubtful=True))
    [row] = await rows()
    assert (row["completed_at"], look.looked_at) == (None, [])


@pytest.mark.parametrize("finds", [None, THROTTLED], ids=["nothing", "error"])
async def test_a_refusal_that_can_not_be_checked_is_unknown(
    operate: Operations, rows: Rows, finds: Exception | None
) -> None:
    operate.settles({Action.REPOSITORY_CREATE: Settling(Look(finds), proves=True)})
    with pytest.raises(OutcomeUnknownError):
        await operate.run(make_call(), intent(), Act(fails_with=REFUSED, is_sent=True, is_doubtful=True))
    [row] = await rows()
    assert row["completed_at"] is None


@pytest.mark.parametrize("key", [None, "k"])
async def test_with_the_database_away_nothing_is_asked_of_aws(away: Database, key: str | None) -> None:
    act = Act()
    operate = Operations(ledger=Ledger(database=away, remember=timedelta(hours=1)))
    with pytest.raises(DatabaseError):
        await operate.run(make_call(key=key), intent(), act)
    assert act.calls == []


async def test_an_outcome_that_can_not_be_written_is_unknown_to_the_caller(
    operate: Operations, database: Database, rows: Rows
) -> None:
    outage = Outage(database)
    with pytest.raises(OutcomeUnknownError):
        await operate.run(make_call(), intent(), Act(before=outage.begin, is_sent=True))
    outage.end()
    [row] = await rows()
    assert (outage.refused, row["completed_at"]) == (4, None)


@pytest.mark.parametrize(
    ("key", "is_harmless_twice", "is_repeatable"),
    [(None, False, False), ("k", False, True), (None, True, True)],
    ids=["without-a-key", "with-a-key", "harmless"],
)
async def test_what_is_unknown_may_be_sent_again_where_that_does_it_once_or_no_harm(
    operate: Operations, key: str | None, *, is_harmless_twice: bool, is_repeatable: bool
) -> None:
    asked = replace(intent(), is_harmless_twice=is_harmless_twice)
    with pytest.raises(OutcomeUnknownError) as caught:
        await operate.run(make_call(key=key), asked, Act(fails_with=AnswerLostError("It was lost."), is_sent=True))
    assert caught.value.retryable is is_repeatable


async def test_an_outcome_is_written_again_after_a_short_outage(
    operate: Operations, database: Database, rows: Rows
) -> None:
    outage = Outage(database, attempts=2)
    await operate.run(make_call(), intent(), Act(before=outage.begin, is_sent=True))
    [row] = await rows()
    assert (outage.refused, row["status"]) == (2, Status.SUCCEEDED)


async def test_a_late_answer_does_not_override_a_sweep_that_has_taken_over(
    operate: Operations, ledger: Ledger, rows: Rows
) -> None:
    far, hold = timedelta(hours=-1), timedelta(seconds=30)
    act = Act(before=lambda: ledger.claim(list(Action), overdue_since=far, hold=hold), is_sent=True)
    with pytest.raises(OutcomeUnknownError):
        await operate.run(make_call(), intent(), act)
    [row] = await rows()
    assert (row["status"], row["completed_at"]) == (Status.PENDING, None)


async def test_a_caller_who_goes_away_leaves_the_row_to_the_sweep(
    operate: Operations, rows: Rows, remembered: Remembered
) -> None:
    held = HeldAct()
    running = asyncio.create_task(operate.run(make_call(key="k"), intent(), held))
    await held.is_at_work.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    [row] = await rows()
    assert (row["status"], await remembered()) == (Status.PENDING, [row["id"]])


async def test_a_write_of_ours_that_refuses_fails_the_operation(
    operate: Operations, rows: Rows, remembered: Remembered
) -> None:
    async def write(connection: AsyncConnection) -> None:
        row = {
            "id": new_id(),
            "label": "made",
            "bindings": [],
            "is_written_out": True,
            "created_at": utcnow(),
            "created_by": "caller-1",
        }
        await connection.execute(insert(keys).values(row))
        raise REFUSED

    async def act(_: str) -> Outcome[Json]:
        return Outcome(RESULT, RESULT, write)

    with pytest.raises(ConflictError):
        await operate.run(make_call(key="k"), intent(), act)
    [row] = await rows()
    assert (row["status"], row["code"], await remembered()) == (Status.FAILED, "repository_exists", [])


async def test_the_callers_value_is_not_recorded_and_not_printed(operate: Operations, rows: Rows) -> None:
    async def act(_: str) -> Outcome[str]:
        return Outcome({"sha256": "of the secret"}, "whf_shown_once")

    asked: Intent[str] = Intent(Action.KEY_CREATE, Target(key="a"), {}, restore=None)
    done = await operate.run(make_call(caller=ADMIN), asked, act)
    [row] = await rows()
    assert (done.value, row["result"]) == ("whf_shown_once", {"sha256": "of the secret"})
    assert "whf_shown_once" not in f"{done!r} {await act('')!r} {dict(row)}"


async def test_what_was_there_before_is_durable_before_aws_is_asked(operate: Operations, rows: Rows) -> None:
    seen: list[object] = []

    async def act(operation_id: str) -> Outcome[Json]:
        await operate.keep(operation_id, {"digest": "before"})
        seen.extend(row["before"] for row in await rows())
        return Outcome(RESULT, RESULT)

    await operate.run(make_call(), replace(intent(), keeps_before=True), act)
    assert seen == [{"was": {"digest": "before"}, "applied": []}]


async def test_once_a_sweep_has_taken_over_nothing_is_sent_any_more(
    operate: Operations, ledger: Ledger, rows: Rows
) -> None:
    sent: list[str] = []

    async def act(operation_id: str) -> Outcome[Json]:
        await ledger.claim(list(Action), overdue_since=timedelta(hours=-1), hold=timedelta(seconds=30))
        await operate.keep(operation_id, {"digest": "before"})
        sent.append(operation_id)
        return Outcome(RESULT, RESULT)

    with pytest.raises(OutcomeUnknownError):
        await operate.run(make_call(), replace(intent(), keeps_before=True), act)
    [row] = await rows()
    assert (sent, row["before"], row["completed_at"]) == ([], {}, None)
