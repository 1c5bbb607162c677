"""Jobs under trouble: replicas are killed, stopped and cut off at random, and all that was accepted is done once.

By hand, at length: `python -m tests.crash.jobs --jobs 10000 --seed 1 [--engine sqlite]`. It says how soon another went
on with a job, counted from the kill or the stop of who had it, and not from the end of its lease: that has to be within
a lease wherever another replica was there and well for as long. It fails too where too few jobs were taken over.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from sqlalchemy import func, select

from service.base.clock import new_id
from service.base.errors import WharfingerError
from service.base.tables import jobs
from tests.crash.job_evidence import Evidence, Why
from tests.crash.job_fleet import POLL, Fleet, Plan
from tests.crash.job_violations import unproven, violations
from tests.crash.job_worker import Replica, writes
from tests.databases import PostgresServer, SqliteTemplate

_SHARE = 25
"""One job in so many, at least, has to be taken over from who was killed, and as many from who was stopped."""

_LEASES = 20
"""For which no job ends: there is no more to wait for."""


async def run(url: str, folder: Path, plan: Plan, *, is_telling: bool = False) -> Evidence:
    """Have jobs done under trouble; gives what happened, once all that were accepted are over."""
    seeded, fleet = random.Random(plan.seed), Fleet(url, folder, plan)  # noqa: S311 - to be repeated
    replica = Replica(url, new_id(), acts=fleet.acts, lease=timedelta(seconds=plan.lease))
    try:
        async with replica.database.write() as connection:
            await connection.run_sync(writes.create)
        await fleet.begin()
        troubles = fleet.troubles(seeded, is_sqlite=replica.database.is_sqlite)
        for made, trouble in enumerate(troubles):
            accepting = asyncio.create_task(_accept(replica, range(made, plan.jobs, plan.troubles), plan.most))
            await asyncio.sleep(seeded.uniform(*plan.pause))
            await trouble(seeded, replica)
            await accepting
            if is_telling:
                print(made + 1, "troubles;", await _live(replica), "jobs to do", flush=True)  # noqa: T201
        await fleet.settle()
        await _end(replica, plan)
        lines = await asyncio.to_thread(fleet.acts.read_text)
        await fleet.evidence.read(replica.database, lines, lease=plan.lease)
    finally:
        fleet.end()
        await replica.database.close()
    return fleet.evidence


async def _end(replica: Replica, plan: Plan) -> None:
    """Wait for all jobs to be over, unless none ends any more."""
    left, latest = await _live(replica), time.monotonic() + _LEASES * plan.lease
    while left and time.monotonic() < latest:
        await asyncio.sleep(POLL)
        before, left = left, await _live(replica)
        latest = time.monotonic() + _LEASES * plan.lease if left < before else latest


async def _accept(replica: Replica, numbers: range, most: int) -> None:
    for number in numbers:
        for _ in range(_LEASES):
            if await _live(replica) < most:
                break
            await asyncio.sleep(POLL)
        try:
            await replica.accept(str(number))
        except WharfingerError:  # the database was cut off; it is accepted or not, as its row says
            await asyncio.sleep(POLL)


async def _live(replica: Replica) -> int:
    query = select(func.count().label("many")).select_from(jobs).where(jobs.c.finished_at.is_(None))
    try:
        return int((await replica.database.fetch(query))[0].many)
    except WharfingerError:
        return -1


def summary(evidence: Evidence) -> str:
    claims = sum(job.epoch for job in evidence.jobs)
    away = {why: len(evidence.of(why)) for why in Why}
    return (
        f"{len(evidence.jobs)} jobs, {claims} claims, {len(evidence.wasted)} of them wasted; "
        f"{away[Why.KILLED]} kills, {away[Why.STOPPED]} stops, {len(evidence.drained)} drains, "
        f"{len(evidence.cuts)} cuts; {len(evidence.late)} acts of who had lost the job\n"
        + "\n".join(_spans(evidence, why) for why in Why)
    )


def _spans(evidence: Evidence, why: Why) -> str:
    """How soon another went on, from the kill or the stop itself to the first that it did of the job."""
    found = [one for one in evidence.takeovers if one.why == why]
    if not found:
        return f"no takeover of who was {why}"
    spans, idle = sorted(one.span for one in found), sorted(one.idle for one in found)
    told = f"{len(found)} takeovers of who was {why}, {len([one for one in found if one.is_met])} met by it; since then"
    return f"{told} {_quantiles(spans)}; of it with another there all the while {_quantiles(idle)}"


def _quantiles(ordered: Sequence[float]) -> str:
    p50, p99 = (ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99))
    return f"p50 {p50:.2f} s, p99 {p99:.2f} s, most {ordered[-1]:.2f} s"


@contextmanager
def _database(engine: str, folder: Path) -> Iterator[str]:
    if engine == "sqlite":
        with SqliteTemplate(folder).database(folder) as url:
            yield url
        return
    server = PostgresServer()
    try:
        with server.database() as url:
            yield url
    finally:
        server.close()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=["postgresql", "sqlite"], default="postgresql")
    parser.add_argument("--lease", type=float, default=5.0)
    given = parser.parse_args(arguments)
    replicas = 3 if given.engine == "postgresql" else 1
    troubles, pause = max(10, given.jobs // 50), (0.3 * given.lease, 0.7 * given.lease)
    plan = Plan(given.jobs, replicas, given.seed, given.lease, troubles, pause)
    folder = Path(tempfile.mkdtemp(prefix="wharfinger-jobs-"))
    with _database(given.engine, folder) as url:
        evidence = asyncio.run(run(url, folder, plan, is_telling=True))
    print(summary(evidence))  # noqa: T201
    broken = [*violations(evidence, within=given.lease), *unproven(evidence, least=given.jobs // _SHARE)]
    print(*broken, f"{len(broken)} violations; {folder}", sep="\n")  # noqa: T201
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
