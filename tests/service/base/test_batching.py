"""Work done together: who waits for what, and who gets which result."""

import asyncio
from collections.abc import Sequence

import pytest

from service.base.batching import Batcher

pytestmark = pytest.mark.asyncio


class Flush:
    """Doubles numbers, notes its batches, and can be held at work."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.is_at_work = asyncio.Event()

    async def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(items))
        self.is_at_work.set()
        await self.may_go_on.wait()
        if -1 in items:
            raise ValueError("-1 can't be doubled")
        return [2 * item for item in items]


async def _held(batcher: Batcher[int, int], flush: Flush) -> asyncio.Task[int]:
    flush.may_go_on.clear()
    first = asyncio.create_task(batcher.submit(0))
    await flush.is_at_work.wait()
    return first


async def test_a_lone_caller_waits_for_nobody() -> None:
    flush = Flush()
    assert await Batcher(flush).submit(21) == 42
    assert flush.batches == [[21]]


async def test_what_comes_while_a_batch_is_at_work_goes_together_next() -> None:
    flush = Flush()
    batcher = Batcher(flush)
    first = await _held(batcher, flush)
    others = [asyncio.create_task(batcher.submit(number)) for number in (1, 2, 3)]
    await asyncio.sleep(0)
    flush.may_go_on.set()
    assert await asyncio.gather(first, *others) == [0, 2, 4, 6]
    assert flush.batches == [[0], [1, 2, 3]]


async def test_a_batch_has_a_most() -> None:
    flush = Flush()
    batcher = Batcher(flush, most=2)
    assert await asyncio.gather(*map(batcher.submit, range(5))) == [0, 2, 4, 6, 8]
    assert flush.batches == [[0, 1], [2, 3], [4]]


async def test_a_failure_reaches_every_caller_of_its_batch_and_no_other() -> None:
    flush = Flush()
    batcher = Batcher(flush)
    first = await _held(batcher, flush)
    others = [asyncio.create_task(batcher.submit(number)) for number in (1, -1)]
    await asyncio.sleep(0)
    flush.may_go_on.set()
    answers = await asyncio.gather(first, *others, return_exceptions=True)
    assert answers[0] == 0
    assert [str(answer) for answer in answers[1:]] == ["-1 can't be doubled"] * 2
    assert await batcher.submit(4) == 8


async def test_a_caller_who_goes_away_takes_nobody_along() -> None:
    flush = Flush()
    batcher = Batcher(flush)
    first = await _held(batcher, flush)
    gone, stays = (asyncio.create_task(batcher.submit(number)) for number in (1, 2))
    await asyncio.sleep(0)
    first.cancel()
    gone.cancel()
    flush.may_go_on.set()
    assert await stays == 4
    assert await batcher.submit(5) == 10
