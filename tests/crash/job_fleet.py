"""Workers that are killed, stopped, told to end and cut off from their database, while they have jobs in hand."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import make_url, select, text

from service.base.clock import new_id
from service.base.errors import DatabaseError
from service.base.tables import jobs
from service.models.jobs import JobState
from tests.crash.job_evidence import Absence, Evidence, Why
from tests.crash.job_worker import Replica

POLL = 0.2
_SHORT = (0.5, 1.2)
"""Of a lease: a stop that ends about when the lease does."""
_LONGEST = 20.0
"""Seconds for which who is stopped waits to be succeeded: its own transactions may hold all that it has."""
_RETURN = 0.5
"""Of a lease: how long its successor is left alone at most."""
_PATIENCE = 0.3
_STOPS = 20
"""Tries to stop one that has jobs in hand."""
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
    most: int = 60
    """Jobs that are not over, at which no more are accepted: what waits for its turn is taken over no sooner."""


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
    ending: list[Worker] = field(default_factory=list)
    """Those that were told to end."""
    evidence: Evidence = field(default_factory=Evidence)
    _returns: set[asyncio.Task[None]] = field(default_factory=set)

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
        """Twice as many kills and stops as others, in any order."""
        others: tuple[Trouble, ...] = (self.drain,) if is_sqlite else (self.drain, self.cut)
        kinds = (self.kill, self.stop, self.kill, self.stop, *others)
        made = [kinds[number % len(kinds)] for number in range(self.plan.troubles)]
        seeded.shuffle(made)
        return made

    async def kill(self, seeded: random.Random, replica: Replica) -> None:
        """`kill -9`, and another in its place, as Kubernetes does."""
        victim = await self._with_jobs(seeded, replica)
        self.workers.remove(victim)
        at = time.time()
        victim.process.kill()
        victim.process.wait()
        held = await _held(replica, victim)
        self.evidence.absences.append(Absence(Why.KILLED, victim.owner, at, held))
        self._fill_up()

    async def stop(self, seeded: random.Random, replica: Replica) -> None:
        """SIGSTOP, most often until another has a job of its; where it was the only one, another works meanwhile."""
        if len(await self._working()) == 1:
            self.start()
        stops = len(self.evidence.of(Why.STOPPED))
        is_short, is_at_write = stops % 4 == 3, stops % 2 == 0
        for _ in range(_STOPS):
            victim = await self._with_jobs(seeded, replica)
            at = await self._stop(victim, is_short=is_short, is_at_write=is_at_write)
            if held := await _held(replica, victim):
                break
            self._continue(victim)  # it has just ended what it had: nothing of its could be taken over
        else:
            return
        absence = Absence(Why.STOPPED, victim.owner, at, held)
        self.evidence.absences.append(absence)
        span = seeded.uniform(*_SHORT) if is_short else seeded.uniform(0, _RETURN)
        back = self._return(victim, absence, replica, span * self.plan.lease, is_short=is_short)
        self._returns.add(asyncio.create_task(back))

    async def drain(self, seeded: random.Random, replica: Replica) -> None:
        """SIGTERM, and another in its place."""
        self._drain(await self._with_jobs(seeded, replica))
        self._fill_up()

    async def cut(self, _: random.Random, replica: Replica) -> None:
        """Every connection is ended, those that listen included."""
        async with replica.database.read() as connection:
            await connection.execute(text(_CUT))
        self.evidence.cuts.append(time.time())

    async def begin(self) -> None:
        for _ in range(self.plan.replicas):
            self.start()
        while len(await self._working()) < self.plan.replicas:  # noqa: ASYNC110 - what other processes do
            await asyncio.sleep(POLL / 10)

    async def settle(self) -> None:
        """Wait for all that are stopped to be back."""
        await asyncio.gather(*self._returns)

    def end(self) -> None:
        for back in self._returns:
            back.cancel()
        for worker in (*self.workers, *self.ending):
            worker.process.kill()
            worker.process.wait()

    async def _return(self, victim: Worker, absence: Absence, replica: Replica, span: float, *, is_short: bool) -> None:
        """Once another has a job of its, and has worked on it a little; one of three is told to end meanwhile."""
        if not is_short:
            await self._succeeded(absence, replica)
        await asyncio.sleep(span)
        is_told_to_end = len([one for one in self.evidence.of(Why.STOPPED) if one.is_over]) % 3 == 1
        if is_told_to_end:
            self._drain(victim)
        absence.end = time.time()
        self._continue(victim)
        self._fill_up()

    async def _succeeded(self, absence: Absence, replica: Replica) -> None:
        latest = time.time() + _LONGEST
        query = select(jobs.c.id, jobs.c.epoch).where(jobs.c.id.in_(absence.held))
        while absence.held and time.time() < latest:
            try:
                rows = await replica.database.fetch(query)
            except DatabaseError:
                rows = ()
            if any(row.epoch > absence.held[row.id] and self._is_begun(row.id, row.epoch) for row in rows):
                return
            await asyncio.sleep(POLL / 4)

    def _is_begun(self, job: str, epoch: int) -> bool:
        return f" run {job} {epoch} " in self.acts.read_text()

    def _drain(self, worker: Worker) -> None:
        self.workers.remove(worker)
        self.ending.append(worker)
        self.evidence.drained[worker.owner] = time.time()
        worker.process.send_signal(signal.SIGTERM)

    def _fill_up(self) -> None:
        if len([worker for worker in self.workers if not worker.is_stopped]) < self.plan.replicas:
            self.start()

    async def _working(self) -> Sequence[Worker]:
        """Those that could have trouble: once there are any."""
        while True:
            found = [one for one in self.workers if not one.is_stopped and (self.folder / one.owner).exists()]
            if found:
                return found
            await asyncio.sleep(POLL / 10)

    async def _with_jobs(self, seeded: random.Random, replica: Replica) -> Worker:
        """One of those that have jobs in hand; any, where nobody has for a while."""
        query = select(jobs.c.lease_owner).where(jobs.c.state == JobState.RUNNING).distinct()
        for _ in range(round(2 * self.plan.lease / POLL)):
            owners = {row.lease_owner for row in await replica.database.fetch(query)}
            if found := [one for one in await self._working() if one.owner in owners]:
                return seeded.choice(found)
            await asyncio.sleep(POLL)
        return seeded.choice(await self._working())

    def _has_writer(self) -> bool:
        """Whether SQLite's one writer is held for longer than a transaction takes: nobody goes on with a job."""
        url = make_url(self.url)
        if url.get_backend_name() != "sqlite":
            return False
        with closing(sqlite3.connect(str(url.database), timeout=_PATIENCE, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
        return False

    async def _stop(self, victim: Worker, *, is_short: bool, is_at_write: bool) -> float:
        """Gives when."""
        victim.is_stopped = True
        if is_at_write:
            await self._stop_at_write(victim)
        at = time.time()
        victim.process.send_signal(signal.SIGSTOP)
        while not is_short and self._has_writer():
            at = await self._stop_again(victim)
        return at

    def _continue(self, victim: Worker) -> None:
        victim.process.send_signal(signal.SIGCONT)
        victim.is_stopped = False

    async def _stop_at_write(self, victim: Worker) -> None:
        """Have it stop itself as it begins to write: all that it does once it is back is that write, and a renewal."""
        victim.process.send_signal(signal.SIGUSR1)
        for _ in range(round(self.plan.lease / POLL * 10)):
            if os.waitid(os.P_PID, victim.process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT):  # noqa: ASYNC222 - it says
                return
            await asyncio.sleep(POLL / 10)

    async def _stop_again(self, victim: Worker) -> float:
        """Let it come to the end of its transaction, and stop it elsewhere."""
        victim.process.send_signal(signal.SIGCONT)
        await asyncio.sleep(POLL / 10)
        at = time.time()
        victim.process.send_signal(signal.SIGSTOP)
        return at


async def _held(replica: Replica, worker: Worker) -> Mapping[str, int]:
    """The epochs of what it has claimed, by job."""
    mine = (jobs.c.lease_owner == worker.owner, jobs.c.finished_at.is_(None))
    return {row.id: row.epoch for row in await replica.database.fetch(select(jobs.c.id, jobs.c.epoch).where(*mine))}
