"""Whether the database can be written to: a full disk, a standby, a writer that does not end let all be read."""

import asyncio
from collections.abc import Sequence

from sqlalchemy import text

from service.base.batching import Batcher
from service.base.db import Database
from service.base.errors import DatabaseError

_HOLDS = 1.0
"""Seconds for which an answer is good: it is asked for without a key, and each costs a commit."""

_STATEMENTS = {
    True: ("PRAGMA user_version = 0",),  # writes the file's first page, whatever stands there
    False: ("UPDATE operations SET note = note WHERE false", "SELECT txid_current()"),  # refused; logged at the commit
}


class WriteProbe:
    """Writes what changes nothing, and commits it; those who ask together share one."""

    def __init__(self, *, database: Database, within: float) -> None:
        self._database = database
        self._within = within
        self._asked: Batcher[None, None] = Batcher(self._write)
        self._good_until = 0.0

    async def check(self) -> None:
        """:raises DatabaseError: nothing can be written now."""
        if asyncio.get_running_loop().time() >= self._good_until:
            await self._asked.submit(None)

    async def _write(self, asked: Sequence[None]) -> Sequence[None]:
        try:
            async with asyncio.timeout(self._within), self._database.write() as connection:
                for statement in _STATEMENTS[self._database.is_sqlite]:
                    await connection.execute(text(statement))
        except TimeoutError as error:
            raise DatabaseError("Nothing can be written to the database.", retry_after=5) from error
        self._good_until = asyncio.get_running_loop().time() + _HOLDS
        return asked
