"""Jobs under trouble: replicas are killed, stopped and cut off at random, and all that was accepted is done once.

By hand, at length: `python -m tests.crash.jobs --jobs 10000 --seed 1 [--engine sqlite]`.
"""

import argparse
import asyncio
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from sqlalchemy import func, select, text

from service.base.clock import new_id
from service.base.errors import WharfingerError
from service.base.tables import jobs
from tests.crash.job_evidence import Evidence, Kill, Stop, violations
from tests.crash.job_worker import Replica, writes
from tests.databases import PostgresServer, SqliteTemplate

_POLL = 0.2
_CUT = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""


@dataclass(frozen=True, slots=True)
class Plan:
    jobs: int
    """So many are accepted in the course of it; and a few by each worker, as it starts."""
    replicas: int
    seed: int
    lease: float
    """In seconds."""
    troubles: int
    pause: tuple[float, float]
    """Seconds from one of them to the next."""
    own: int = 3
    """Jobs that each worker accepts itself."""


Trouble = Callable[[random.Random, Replica], Awaitable[None]]


@dataclass(slots=True)
class Worker:
    owner: str
    process: "subprocess.Popen[bytes]"
    is_stopped: bool = False


@dataclass(slots=True)
class Fleet:
    """The workers of a run, and the trouble that they have."""

    url: str
    folder: Path
    plan: Plan
    workers: list[Worker] = field(default_factory=list)
    evidence: Evidence = field(default_factory=Evidence)

    @property
    def is_any_stopped(self) -> bool:
        return any(worker.is_stopped for worker in self.workers)

    @property
    def acts(self) -> Path:
        return self.folder / "acts"

    def start(self) -> None:
        owner = new_id()
        told = (self.url, owner, str(self.acts), str(self.plan.lease), str(self.plan.own))
        with (self.folder / "workers.log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - ours
                [sys.executable, "-m", "tests.crash.job_worker", *told], stdout=log, stderr=log
            )
        self.workers.append(Worker(owner, process))

    def troubles(self, seeded: random.Random, *, is_sqlite: bool) -> Sequence[Trouble]:
        """As many of each kind that there may be, in any order."""
        kinds: tuple[Trouble, ...] = (self.kill, self.stop) if is_sqlite else (self.kill, self.stop, self.cut)
        made = [kinds[number % len(kinds)] for number in range(self.plan.troubles)]
        seeded.shuffle(made)
        return made

    async def kill(self, seeded: random.Random, replica: Replica) -> None:
        """`kill -9`, and another in its place, as Kubernetes does."""
        victim = seeded.choice(await self._working())
        self.workers.remove(victim)
        at = time.time()
        victim.process.kill()
        victim.process.wait()
        mine = (jobs.c.lease_owner == victim.owner, jobs.c.finished_at.is_(None))
        held = await replica.database.fetch(select(jobs.c.id, jobs.c.epoch).where(*mine))
        self.evidence.kills.append(Kill(victim.owner, at, {row.id: row.epoch for row in held}))
        if len(self.workers) < self.plan.replicas:
            self.start()

    async def stop(self, seeded: random.Random, _: Replica) -> None:
        """SIGSTOP, for a while that may be longer than a lease; where it was the only one, another works meanwhile."""
        working = await self._working()
        victim = seeded.choice(working)
        victim.is_stopped = True
        if len(working) == 1:
            self.start()
        at = time.time()
        victim.process.send_signal(signal.SIGSTOP)
        asyncio.get_running_loop().call_later(seeded.uniform(0.5, 2) * self.plan.lease, self._resume, victim, at)

    def _resume(self, victim: Worker, stopped_at: float) -> None:
        victim.process.send_signal(signal.SIGCONT)
        victim.is_stopped = False
        self.evidence.stops.append(Stop(victim.owner, stopped_at, time.time()))

    async def _working(self) -> Sequence[Worker]:
        """Those that could have trouble: once there are any."""
        while True:
            found = [one for one in self.workers if not one.is_stopped and (self.folder / one.owner).exists()]
            if found:
                return found
            await asyncio.sleep(_POLL / 10)

    async def begin(self) -> None:
        for _ in range(self.plan.replicas):
            self.start()
        while len(await self._working()) < self.plan.replicas:  # noqa: ASYNC110 - what other processes do
            await asyncio.sleep(_POLL / 10)

    async def cut(self, _: random.Random, replica: Replica) -> None:
        """Every connection is ended, those that listen included."""
        async with replica.database.read() as connection:
            await connection.execute(text(_CUT))
        self.evidence.cuts.append(time.time())

    def end(self) -> None:
        for worker in self.workers:
            worker.process.kill()
            worker.process.wait()


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
            accepting = asyncio.create_task(_accept(replica, range(made, plan.jobs, plan.troubles)))
            await asyncio.sleep(seeded.uniform(*plan.pause))
            await trouble(seeded, replica)
            await accepting
            if is_telling:
                print(made + 1, "troubles;", await _live(replica), "jobs to do", flush=True)  # noqa: T201
        while fleet.is_any_stopped or await _live(replica):  # noqa: ASYNC110 - what other processes do
            await asyncio.sleep(_POLL)
        lines = await asyncio.to_thread(fleet.acts.read_text)
        await fleet.evidence.read(replica.database, lines)
    finally:
        fleet.end()
        await replica.database.close()
    return fleet.evidence


async def _accept(replica: Replica, numbers: range) -> None:
    for number in numbers:
        try:
            await replica.accept(str(number))
        except WharfingerError:  # the database was cut off; it is accepted or not, as its row says
            await asyncio.sleep(_POLL)


async def _live(replica: Replica) -> int:
    query = select(func.count().label("many")).select_from(jobs).where(jobs.c.finished_at.is_(None))
    try:
        return int((await replica.database.fetch(query))[0].many)
    except WharfingerError:
        return -1


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
    # No more than the engine gets done meanwhile: what waits for its turn is taken over no sooner.
    troubles = max(5, given.jobs // (50 if given.engine == "postgresql" else 10))
    plan = Plan(given.jobs, replicas, given.seed, given.lease, troubles, pause=(1.0, 3.0))
    folder = Path(tempfile.mkdtemp(prefix="wharfinger-jobs-"))
    with _database(given.engine, folder) as url:
        evidence = asyncio.run(run(url, folder, plan, is_telling=True))
    print(evidence.summary())  # noqa: T201
    broken = violations(evidence)
    print(*broken, f"{len(broken)} violations; {folder}", sep="\n")  # noqa: T201
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
