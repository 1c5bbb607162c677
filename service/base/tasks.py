"""Work done side by side, again, or for what may not be there."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from functools import cached_property
from typing import Any, TypeVar

from service.base.errors import NotFoundError, WharfingerError

_Answer = TypeVar("_Answer")
_Other = TypeVar("_Other")
_Owner = TypeVar("_Owner")


def once(ask: Callable[[_Owner], Coroutine[Any, Any, _Answer]]) -> "cached_property[asyncio.Task[_Answer]]":
    """A property to await: asked for when it is first wanted; who wants it later gets the same answer, or error."""
    return cached_property(lambda owner: asyncio.create_task(ask(owner)))


async def all_of(asked: Iterable[Awaitable[_Answer]]) -> list[_Answer]:
    """The answers, in order; or the first error, once nothing is under way any more."""
    answers: list[_Answer] = []
    for one in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(one, BaseException):
            raise one
        answers.append(one)
    return answers


async def both(first: Awaitable[_Answer], second: Awaitable[_Other]) -> tuple[_Answer, _Other]:
    """As `all_of`, for two that are not alike."""
    answers: list[Any] = await all_of((first, second))
    return answers[0], answers[1]


def longer_pauses() -> Iterator[float]:
    """Seconds between two tries of what is away and comes back: each twice as long, up to three."""
    pause = 0.2
    while True:
        yield pause
        pause = min(pause * 2, 3.0)


async def or_none(asked: Awaitable[_Answer]) -> _Answer | None:
    """The answer, or None where there is nothing of that name."""
    try:
        return await asked
    except NotFoundError:
        return None


async def or_error(asked: Awaitable[_Answer]) -> _Answer | WharfingerError:
    """An error as an answer, so that the other answers count."""
    try:
        return await asked
    except WharfingerError as error:
        return error
