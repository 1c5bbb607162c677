"""Beats: a duty goes on whatever became of the last time, and is let end when the process does."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from service.base.beats import Beat
from service.base.errors import DatabaseError

pytestmark = pytest.mark.asyncio

NEVER, SOON = timedelta(days=1), timedelta(milliseconds=1)


class Duty:
    """Notes each time that it is done; the first times it fails with what a test gives it."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.many = 0
        self._done = asyncio.Condition()

    async def __call__(self) -> None:
        async with self._done:
            self.many += 1
            self._done.notify_all()
        if self._errors:
            raise self._errors.pop(0)

    async def done(self, times: int) -> None:
        async with asyncio.timeout(10), self._done:
            await self._done.wait_for(lambda: self.many >= times)


@pytest.mark.parametrize(
    ("error", "event"),
    [(RuntimeError("a defect"), "duty_failed"), (DatabaseError("It is away."), "postponed")],
    ids=["a defect", "a database that is away"],
)
async def test_a_duty_goes_on_after(error: Exception, event: str) -> None:
    duty = Duty(error)
    beat = Beat("duty", duty, SOON)
    with capture_logs() as logs:
        beat.start()
        await duty.done(3)
        await beat.close(10)
    assert [(line["event"], line["duty"]) for line in logs] == [(event, "duty")]


async def test_the_log_says_why_the_database_is_away() -> None:
    error = DatabaseError("It is away.")
    error.__cause__ = OperationalError("SELECT 'hush'", None, OSError("no route\n\tto host"))
    duty = Duty(error)
    beat = Beat("duty", duty, SOON)
    with capture_logs() as logs:
        beat.start()
        await duty.done(2)
        await beat.close(10)
    assert [line["text"] for line in logs] == ["no route to host"]


async def test_who_is_woken_does_it_at_once() -> None:
    duty = Duty()
    beat = Beat("duty", duty, NEVER)
    beat.start()
    await duty.done(1)
    beat.wake()
    await duty.done(2)
    await beat.close(10)
    assert duty.many == 2


async def test_who_is_woken_amid_it_does_it_once_more() -> None:
    duty = Duty()
    beat: Beat

    async def act() -> None:
        await duty()
        if duty.many == 1:
            beat.wake()
            beat.wake()

    beat = Beat("duty", act, NEVER)
    beat.start()
    await duty.done(2)
    await beat.close(10)
    assert duty.many == 2


async def test_what_is_being_done_is_waited_for() -> None:
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def act() -> None:
        begun.set()
        await may_end.wait()
        ended.set()

    beat = Beat("duty", act, NEVER)
    beat.start()
    await begun.wait()
    closing = asyncio.create_task(beat.close(10))
    await asyncio.sleep(0)
    assert not closing.done()
    may_end.set()
    await closing
    assert ended.is_set()


async def test_what_does_not_end_in_time_is_cut_off() -> None:
    begun, cut = asyncio.Event(), asyncio.Event()

    async def act() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut.set()
            raise

    beat = Beat("duty", act, NEVER)
    beat.start()
    await begun.wait()
    await beat.close(0.01)
    assert cut.is_set()
