"""Work done side by side, or for what may not be there."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

from service.base.errors import NotFoundError

_Answer = TypeVar("_Answer")


async def all_of(asked: Iterable[Awaitable[_Answer]]) -> list[_Answer]:
    """The answers, in order; or the first error, once nothing is under way any more."""
    answers: list[_Answer] = []
    for one in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(one, BaseException):
            raise one
        answers.append(one)
    return answers


async def or_none(asked: Awaitable[_Answer]) -> _Answer | None:
    """The answer, or None where there is nothing of that name."""
    try:
        return await asked
    except NotFoundError:
        return None
