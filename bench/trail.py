"""Pages of a long audit trail, by each filter: in one process, on both engines, beside a look-up by primary key.

`TRAIL_ROWS` sets its length: filling ten million takes seven to ten minutes on each engine, and 12 GB.
"""

import asyncio
import os
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import text

from bench.engines import ENGINES
from bench.report import line
from service.access.actions import Action, Role
from service.access.authz import Binding, Caller
from service.base.db import Database
from service.base.migrate import migrate
from service.base.settings import DatabaseSettings, Settings
from service.models.audit import Status
from service.operations.audit import Audit
from service.operations.audit_query import AuditFilter

_ROWS = int(os.environ.get("TRAIL_ROWS", "300000"))
_BATCH = 500_000
_ASKED = 200
_PAGE = 100
_START = datetime(2026, 1, 1, tzinfo=UTC)
_GOAL = "< 20 ms"

_AUDITOR = Caller("auditor", "auditor", (Binding(role=Role.AUDITOR),))


def measure() -> None:
    for name, opened in ENGINES.items():
        with opened() as url:
            asyncio.run(_measure(name, url))


async def _measure(engine: str, url: str) -> None:
    async with _trail(url) as database:
        audit = Audit(database=database)
        by_key = await _p99(lambda _: audit.get(_AUDITOR, _id(random.randrange(_ROWS))))  # noqa: S311 - no secret
        for name, asked, caller in _filters():
            by_filter = await _p99(_pages(audit, caller, asked))
            what = f"trail of {_ROWS:,}, {name}, {engine}, p99"
            line(what, f"{by_filter:.1f} ms", f"{by_key:.1f} ms", f"{by_filter / by_key:.1f}x", _GOAL)


def _pages(audit: Audit, caller: Caller, asked: Callable[[], AuditFilter]) -> Callable[[int], Awaitable[object]]:
    """First pages, and in turn with them those that follow."""
    wanted, cursor = asked(), None

    async def ask(number: int) -> None:
        nonlocal wanted, cursor
        if number % 2 == 0:
            wanted, cursor = asked(), None
        cursor = (await audit.search(caller, wanted, cursor=cursor, limit=_PAGE)).next_cursor

    return ask


def _filters() -> list[tuple[str, Callable[[], AuditFilter], Caller]]:
    pick = random.Random(1)  # noqa: S311 - no secret
    span = timedelta(seconds=_ROWS)

    def when() -> datetime:
        return _START + pick.random() * span

    def repository() -> str:
        return f"main/team-{pick.randrange(100)}/app-{pick.randrange(20)}"

    one = Caller("actor-7", "label-7", (Binding(role=Role.DEVELOPER),))
    return [
        ("no filter", AuditFilter, _AUDITOR),
        ("actor", lambda: AuditFilter(actor=f"actor-{pick.randrange(500)}"), _AUDITOR),
        ("actor_label", lambda: AuditFilter(actor_label=f"label-{pick.randrange(500)}"), _AUDITOR),
        ("frequent action", lambda: AuditFilter(action=Action.TOKEN_PULL), _AUDITOR),
        ("rare action", lambda: AuditFilter(action=Action.KEY_REVOKE), _AUDITOR),
        ("action and status", lambda: AuditFilter(action=Action.TOKEN_PULL, status=Status.FAILED), _AUDITOR),
        ("rare status", lambda: AuditFilter(status=Status.UNKNOWN), _AUDITOR),
        ("frequent status", lambda: AuditFilter(status=Status.SUCCEEDED), _AUDITOR),
        ("open", lambda: AuditFilter(status=Status.PENDING), _AUDITOR),
        ("target", lambda: AuditFilter(target=repository()), _AUDITOR),
        ("target and action", lambda: AuditFilter(target=repository(), action=Action.TOKEN_PUSH), _AUDITOR),
        ("team's prefix", lambda: AuditFilter(target_prefix=f"main/team-{pick.randrange(100)}"), _AUDITOR),
        ("registry's prefix", lambda: AuditFilter(target_prefix="main"), _AUDITOR),
        ("since and until", lambda: AuditFilter(since=(at := when()), until=at + timedelta(hours=1)), _AUDITOR),
        ("until and action", lambda: AuditFilter(until=when(), action=Action.TOKEN_PULL), _AUDITOR),
        ("own rows", AuditFilter, one),
        ("own rows, action", lambda: AuditFilter(action=Action.TOKEN_PUSH), one),
        ("own rows, target", lambda: AuditFilter(target=repository()), one),
    ]


async def _p99(ask: Callable[[int], Awaitable[object]]) -> float:
    """Milliseconds."""
    times = []
    for number in range(_ASKED):
        began = time.perf_counter()
        await ask(number)
        times.append(time.perf_counter() - began)
    return sorted(times)[round(_ASKED * 0.99) - 1] * 1000


@asynccontextmanager
async def _trail(url: str) -> AsyncIterator[Database]:
    database = Database(Settings(data_dir=Path(tempfile.gettempdir()), database=DatabaseSettings(url=SecretStr(url))))
    try:
        await migrate(database)
        await _fill(database)
        yield database
    finally:
        await database.close()


async def _fill(database: Database) -> None:
    for first in range(0, _ROWS, _BATCH):
        async with database.write() as connection:
            if database.is_sqlite:
                # So much of the indexes fits in it that what is written at random places is written once.
                await connection.execute(text("PRAGMA cache_size=-4000000"))
            last = min(first + _BATCH, _ROWS) - 1
            await connection.execute(text(_rows(first, last, is_sqlite=database.is_sqlite)))
    async with database.read() as connection:
        await connection.execute(text("ANALYZE" if database.is_sqlite else "VACUUM ANALYZE"))


def _id(number: int) -> str:
    return f"01900000-0000-7000-8000-{number:012d}"


def _rows(first: int, last: int, *, is_sqlite: bool) -> str:
    """Rows a second apart: 500 actors, of whom some do most; 2,000 repositories of 100 teams; few failures."""
    if is_sqlite:
        numbers = f"WITH RECURSIVE t(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM t WHERE n < {last})"  # noqa: S608 - numbers
        at, number, json = "datetime('2026-01-01', n || ' seconds') || '.000000'", "printf('%012d', n)", ""
    else:
        numbers = f"WITH t(n) AS (SELECT generate_series({first}::bigint, {last}::bigint))"
        at, number, json = "timestamptz '2026-01-01 UTC' + n * interval '1 second'", "lpad(n::text, 12, '0')", "::json"
    return f"""
        INSERT INTO operations (
            id, actor, actor_label, action, registry_name, target, request_id, request, subjects, status, started_at,
            deadline_at, completed_at
        )
        {numbers}, mixed(n, m) AS (SELECT n, n * 2654435761 % 4294967296 FROM t), named(n, m, actor, team, target) AS (
            SELECT n, m, (m % 500) * (m / 500 % 500) / 500, 'main/team-' || (m / 7 % 100),
                'main/team-' || (m / 7 % 100) || '/app-' || (m / 700 % 20)
            FROM mixed
        )
        SELECT '01900000-0000-7000-8000-' || {number}, 'actor-' || actor, 'label-' || actor,
            CASE WHEN m % 1000 < 700 THEN 'token.pull' WHEN m % 1000 < 950 THEN 'token.push'
                WHEN m % 100000 < 99990 THEN 'repository.update' ELSE 'key.revoke' END,
            'main', target, 'bench', '{{}}'{json},
            ('["' || target || '","main/","' || team || '/","' || target || '/"]'){json},
            CASE WHEN m / 3 % 100000 < 5 THEN 'unknown' WHEN m / 3 % 100 < 3 THEN 'failed' ELSE 'succeeded' END,
            {at}, {at}, {at}
        FROM named
    """  # noqa: S608 - our own words
