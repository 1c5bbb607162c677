"""Jobs claimed by one replica, on both engines, beside such a statement sent by the driver alone.

As many jobs that wait are claimed in each way: so many at a time as a kind allows by default, and one by one, where
each claim is a commit.
"""

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from pydantic import SecretStr
from sqlalchemy import text

from api.http.logs import configure_logs
from bench.engines import ENGINES
from bench.report import line
from service.access.actions import Step
from service.base.clock import new_id
from service.base.db import Database
from service.base.migrate import migrate
from service.base.settings import DatabaseSettings, Settings
from service.operations.calls import Json, Parent
from service.operations.jobs.claims import Claims
from service.operations.jobs.jobs import Jobs
from service.operations.jobs.kinds import Kind
from service.operations.jobs.work import Work
from service.operations.ledger import Ledger

_AT_ONCE = 16
_HOUR = timedelta(hours=1)
_MANY = {_AT_ONCE: 2000, 1: 500}
"""Jobs to claim, by how many at a time."""
_RUN = 500
_GOALS = {"SQLite": "at least 200/s", "PostgreSQL": "at least 500/s"}
_BARE = """
    UPDATE jobs
    SET state = 'running', attempts = attempts + 1, epoch = epoch + 1, lease_owner = 'bare', lease_until = {until}
    WHERE id IN (
        SELECT id FROM jobs
        WHERE kind = 'bare {most}' AND finished_at IS NULL AND run_at <= {now}
            AND (lease_until IS NULL OR lease_until < {now})
        ORDER BY run_at, id LIMIT {most} {skip}
    )
    RETURNING id
"""
_NOW = {"SQLite": "strftime('%Y-%m-%d %H:%M:%f', 'now')", "PostgreSQL": "clock_timestamp()"}
_UNTIL = {
    "SQLite": "strftime('%Y-%m-%d %H:%M:%f', 'now', '1 hour')",
    "PostgreSQL": "clock_timestamp() + interval '1 hour'",
}
_SKIP = {"SQLite": "", "PostgreSQL": "FOR UPDATE SKIP LOCKED"}


def measure() -> None:
    configure_logs("error")  # as the other benchmarks' processes: a line for each claim is not what is measured
    for name, opened in ENGINES.items():
        with opened() as url:
            asyncio.run(_measure(name, url))


async def _measure(engine: str, url: str) -> None:
    database = Database(Settings(data_dir=Path(tempfile.gettempdir()), database=DatabaseSettings(url=SecretStr(url))))
    try:
        await migrate(database)
        worker = _Worker(database)
        await worker.fill()
        await _analyse(database)
        for most in _MANY:
            ours = await _rate(partial(worker.claim, most), most)
            reference = await asyncio.to_thread(_bare_rate, engine, url, most)
            what = f"jobs claimed, {most} at a time, {engine}"
            line(what, f"{ours:,.0f}/s", f"{reference:,.0f}/s", f"1/{reference / ours:.1f}", _GOALS[engine])
        line(f"jobs that do nothing, to their end, {engine}", f"{await worker.run_all():,.0f}/s", "-", "-", "")
    finally:
        await database.close()


class _Worker:
    """A replica with jobs of three kinds: to be claimed by it, to be claimed by the driver, and to be run by it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ledger = Ledger(database=database, remember=_HOUR)
        self._left, self._done = _RUN, asyncio.Event()
        self._ours = {most: Kind(f"ours {most}", self._run, lease=_HOUR) for most in _MANY}
        kinds = {kind.name: kind for kind in self._ours.values()}
        self._claims = Claims(database=database, owner=new_id(), kinds=kinds)

    async def fill(self) -> None:
        bare = {most: Kind(f"bare {most}", self._run) for most in _MANY}
        accepting = self._jobs(*self._ours.values(), *bare.values(), Kind("run", self._run))
        claimed = [(kind[most].name, many) for kind in (self._ours, bare) for most, many in _MANY.items()]
        for kind, many in (*claimed, ("run", _RUN)):
            async with self._database.write() as connection:
                for number in range(many):
                    who = Parent(new_id(), "bench", "bench", "bench", "bench")
                    await self._ledger.add(connection, who, Step.JOB_SCHEDULE, {})
                    await accepting.accept(connection, kind, str(number), {}, parent=who)

    async def claim(self, most: int) -> Sequence[object]:
        return await self._claims.claim(self._ours[most], most)

    async def run_all(self) -> float:
        """Jobs in a second that are claimed, begun, ended and logged."""
        working = self._jobs(Kind("run", self._run, concurrency=_AT_ONCE))
        began = time.perf_counter()
        working.runner.start()
        await self._done.wait()
        await asyncio.gather(*working.runner.tasks)
        took = time.perf_counter() - began
        await working.runner.close()
        return _RUN / took

    def _jobs(self, *kinds: Kind) -> Jobs:
        jobs = Jobs(database=self._database, ledger=self._ledger, owner=new_id())
        for kind in kinds:
            jobs.register(kind)
        return jobs

    async def _run(self, _: Work) -> Json:
        self._left -= 1
        if not self._left:
            self._done.set()
        return {}


async def _analyse(database: Database) -> None:
    async with database.read() as connection:
        await connection.execute(text("ANALYZE" if database.is_sqlite else "VACUUM ANALYZE"))


async def _rate(claim: Callable[[], Awaitable[Sequence[object]]], most: int) -> float:
    """Jobs in a second, until none is left."""
    claimed, began = 0, time.perf_counter()
    while jobs := await claim():
        claimed += len(jobs)
    took = time.perf_counter() - began
    if claimed != _MANY[most]:
        raise RuntimeError(f"{claimed} of {_MANY[most]} jobs were claimed")
    return claimed / took


def _bare_rate(engine: str, url: str, most: int) -> float:
    known = {"now": _NOW[engine], "until": _UNTIL[engine], "skip": _SKIP[engine], "most": most}
    statement = _BARE.format(**known)
    if engine == "SQLite":
        connection: Any = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        connection.execute("PRAGMA synchronous=FULL")
    else:
        connection = psycopg.connect(url, autocommit=True)

    async def claim() -> Sequence[object]:
        return list(connection.execute(statement).fetchall())

    try:
        return asyncio.run(_rate(claim, most))
    finally:
        connection.close()
