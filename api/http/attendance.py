"""Whether anybody still waits for an answer that takes long: how every wait and stream ends, whatever it waits for."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

import anyio
from fastapi import Request

from api.http.deps import bearer_of, readiness_of, services_of
from service.base.deadlines import unbounded
from service.base.errors import (
    CallerGoneError,
    DatabaseError,
    LongWork,
    UnauthenticatedError,
    UnavailableError,
    WharfingerError,
)

_LOOK_EVERY = 1.0
"""Seconds between looks at the key, so that one that is revoked ends what it waits for within two."""

T = TypeVar("T")
Waiting = Coroutine[Any, Any, T]


class Attendance:
    """Lasts as long as the caller is there, their key is valid, and this process goes on."""

    def __init__(self, request: Request, work: LongWork | None = None, *, is_repeatable: bool = True) -> None:
        self._request = request
        self._is_repeatable = is_repeatable
        self._work = work

    async def during(self, work: Waiting[T]) -> T:
        """What comes of `work`, which is given up when nobody attends any more.

        :raises CallerGoneError: they hung up, so nobody reads this.
        :raises UnauthenticatedError: the key has ended meanwhile.
        :raises UnavailableError: this process ends.
        """
        with unbounded():
            return await self._during(work)

    async def _during(self, work: Waiting[T]) -> T:
        async with _task(self._end()) as end, _task(work) as result:
            await asyncio.wait({result, end}, return_when=asyncio.FIRST_COMPLETED)
            if not result.done():
                raise await end
            return await result

    async def through(self, items: AsyncGenerator[T]) -> AsyncIterator[T]:
        """Each of `items` as it comes, until nobody attends any more."""
        async with aclosing(items), _task(self._end()) as end:
            while not end.done():
                async with _task(_next(items)) as following:
                    await asyncio.wait({following, end}, return_when=asyncio.FIRST_COMPLETED)
                    if not following.done():
                        return
                    try:
                        yield await following
                    except StopAsyncIteration:
                        return

    async def _end(self) -> WharfingerError:
        """Why nobody attends any more, once it is so."""
        async with (
            _task(self._caller_gone()) as gone,
            _task(self._process_ends()) as ends,
            _task(self._key_refused()) as refused,
        ):
            done, _ = await asyncio.wait({gone, ends, refused}, return_when=asyncio.FIRST_COMPLETED)
            return await done.pop()

    async def _caller_gone(self) -> WharfingerError:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        return CallerGoneError("The caller hung up.")

    async def _process_ends(self) -> WharfingerError:
        await readiness_of(self._request).ending.wait()
        text, again = "This process ends; the work goes on.", self._is_repeatable
        return UnavailableError(text, retry_after=1 if again else None, retryable=again, work=self._work)

    async def _key_refused(self) -> WharfingerError:
        identity, secret = services_of(self._request).identity, bearer_of(self._request)
        while True:
            # At the same moment for all who wait: they share a query.
            await asyncio.sleep(_LOOK_EVERY - asyncio.get_running_loop().time() % _LOOK_EVERY)
            try:
                await identity.authenticate(secret)
            except UnauthenticatedError as error:
                return error
            except DatabaseError:
                continue  # not an answer about the key


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)


@asynccontextmanager
async def _task(work: Waiting[T]) -> AsyncIterator[asyncio.Task[T]]:
    """Work at the side, of which nothing goes on afterwards."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        # The framework cuts a stream by cancelling again and again, and what is cut here in between would still be at
        # work on what is closed next.
        with anyio.CancelScope(shield=True):
            await asyncio.gather(task, return_exceptions=True)
