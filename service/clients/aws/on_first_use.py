"""What is opened only when it is asked for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


class OnFirstUse:
    """A client that few need: opened for the first who asks, as each takes some 2 MB."""

    def __init__(self, opening: Callable[[], Awaitable[Any]]) -> None:
        self._opening = opening
        self._one_at_a_time = asyncio.Lock()
        self._opened: Any = None

    async def get(self) -> Any:  # noqa: ANN401 - what botocore makes has no type without stubs
        async with self._one_at_a_time:
            if self._opened is None:
                self._opened = await self._opening()
        return self._opened
