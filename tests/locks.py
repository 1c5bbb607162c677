"""A database in which another process writes, and does not end."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import psycopg


@asynccontextmanager
async def writer_busy(database_url: str) -> AsyncIterator[None]:
    """Within this nobody else writes to the tables of operations and keys; what is there can be read."""
    if database_url.startswith("sqlite"):
        file = database_url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(file, timeout=30, isolation_level=None, check_same_thread=False)) as other:
            # In a thread: whoever writes just now may need this one's loop to come to an end.
            await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
            yield
    else:
        async with await psycopg.AsyncConnection.connect(database_url) as server:
            await server.execute("LOCK TABLE operations, keys IN EXCLUSIVE MODE")
            yield
