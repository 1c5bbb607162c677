"""Work done side by side: an error waits for the rest, so that nothing goes on behind a caller's back."""

import asyncio
from itertools import islice

import pytest

from service.base.tasks import all_of, longer_pauses, once

pytestmark = pytest.mark.asyncio


async def answer(value: int, after: asyncio.Event) -> int:
    await after.wait()
    return value


async def fail(text: str) -> int:
    raise ValueError(text)


async def test_answers_come_in_the_order_asked_for() -> None:
    second_is_done = asyncio.Event()

    async def second() -> int:
        second_is_done.set()
        return 2

    assert await all_of([answer(1, second_is_done), second()]) == [1, 2]


async def test_the_first_error_comes_once_the_others_are_over() -> None:
    over: list[str] = []

    async def slow() -> int:
        for _ in range(100):
            await asyncio.sleep(0)
        over.append("slow")
        return 1

    with pytest.raises(ValueError, match="first"):
        await all_of([slow(), fail("first"), fail("second")])
    assert over == ["slow"]


async def test_what_several_want_is_asked_for_once() -> None:
    class Question:
        asked = 0

        @once
        async def answer(self) -> int:
            self.asked += 1
            await asyncio.sleep(0)
            return self.asked

    async def want(question: Question) -> int:
        return await question.answer

    first, second = Question(), Question()
    assert await all_of([want(first), want(first), want(second)]) == [1, 1, 1]
    assert await first.answer == 1


async def test_pauses_double_up_to_three_seconds() -> None:
    assert list(islice(longer_pauses(), 6)) == [0.2, 0.4, 0.8, 1.6, 3.0, 3.0]
