"""Tells other replicas that there is a job to claim: sooner than they would see it, and never relied upon."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.base.db import Database
from service.base.errors import DatabaseError

_CHANNEL = "wharfinger_jobs"
_PAUSE = 5.0
"""What is missed meanwhile is seen by looking, a second later."""

log = structlog.get_logger()


class Wakeups:
    """By PostgreSQL's notifications; on SQLite there is no other replica."""

    def __init__(self, *, database: Database, pause: float = _PAUSE) -> None:
        """:param pause: seconds between two tries to listen."""
        self._database = database
        self._pause = pause
        self._listening: asyncio.Task[None] | None = None

    async def announce(self, connection: AsyncConnection) -> None:
        """Tell of a job, once the caller's transaction commits."""
        if not self._database.is_sqlite:
            await connection.execute(text(f"NOTIFY {_CHANNEL}"))

    def listen(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever there may be a job, until `close`."""
        if not self._database.is_sqlite:
            self._listening = asyncio.create_task(self._listen(wake), name="jobs_listener")

    async def close(self) -> None:
        if self._listening:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    async def _listen(self, wake: Callable[[], None]) -> None:
        while True:
            try:
                async with aclosing(self._database.notifications(_CHANNEL)) as told:
                    async for _ in told:
                        wake()
            except DatabaseError:
                log.debug("jobs_not_listening", reason="database_unavailable")
            except Exception:
                log.exception("jobs_not_listening")
            await asyncio.sleep(self._pause)
