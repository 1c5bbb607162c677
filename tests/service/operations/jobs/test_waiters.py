"""Waiting for long work: who waits for its end looks at it when it is over, and not at each change before."""

import asyncio

import pytest

from service.base.errors import LongWork
from service.models.jobs import JobState
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
