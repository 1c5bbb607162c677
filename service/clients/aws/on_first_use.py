"""What is opened only when it is asked for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Client = TypeVar("Client")


class OnFirstUse(Generic[Client]):
    """A client that not all need: opened for the first who asks, as each takes some 2 MB and 3 ms."""

    def __init__(self, opening: Callable[[], Awaitable[Client]]) -> None:
        self._opening = opening
        self._one_at_a_time = asyncio.Lock()
        self._opened: Client | None = None

    async def get(self) -> Client:
        async with self._one_at_a_time:
            if self._opened is None:
                self._opened = await self._opening()
        return self._opened
