"""A database in which another process writes, and does not end."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg


@contextmanager
def writer_busy(database_url: str) -> Iterator[None]:
    """Within this nobody else writes to the tables of operations and keys; what is there can be read."""
    if database_url.startswith("sqlite"):
        file = database_url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
    else:
        with psycopg.connect(database_url) as server:
            server.execute("LOCK TABLE operations, keys IN EXCLUSIVE MODE")
            yield
