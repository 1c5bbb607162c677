"""Work done side by side."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

_Answer = TypeVar("_Answer")


async def all_of(asked: Iterable[Awaitable[_Answer]]) -> list[_Answer]:
    """The answers, in order; or the first error, once nothing is under way any more."""
    answers: list[_Answer] = []
    for one in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(one, BaseException):
            raise one
        answers.append(one)
    return answers
