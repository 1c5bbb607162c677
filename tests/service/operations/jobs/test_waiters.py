"""Waiting for long work: for its end, without a look at each change before; and for each event, however long."""

import asyncio
from collections.abc import Sequence

import pytest

from service.base.clock import utcnow
from service.base.errors import DatabaseError, LongWork
from service.models.jobs import JobEvent, JobState
from service.operations.jobs.waiters import Waiters

pytestmark = pytest.mark.asyncio


async def test_who_waits_for_the_end_looks_once_more_when_it_is_there() -> None:
    waiters, state, looks = Waiters(poll=60), JobState.RUNNING, 0

    async def get() -> JobState:
        nonlocal looks
        looks += 1
        return state

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(
            waiters.wait_for_end(LongWork("job", "1"), get, lambda one: one, 60, is_repeatable=True)
        )
        following = group.create_task(waiters.changed("1"))
        await asyncio.sleep(0)
        waiters.tell("1")
        await following  # who follows it is told
        assert (looks, waiting.done()) == (1, False)
        state = JobState.SUCCEEDED
        waiters.tell_end("1")
    assert (looks, waiting.result()) == (2, JobState.SUCCEEDED)


async def test_who_follows_outlasts_a_database_that_is_away() -> None:
    waiters, away = Waiters(poll=0), [True, False, False, False, True, False, False]
    log = [JobEvent(number=number, at=utcnow(), type="progress", data={}) for number in (1, 2)]

    def look() -> None:
        if away.pop(0):
            raise DatabaseError("The database did not answer.")

    async def is_over() -> bool:
        look()
        return len(away) <= 3

    async def later_than(after: int) -> Sequence[JobEvent]:
        look()
        return log[after:][:1]

    followed = waiters.events("1", is_over, later_than, 0)
    assert [event.number async for event in followed] == [1, 2]
    assert away == []
