"""What a run of jobs under trouble left behind, and how soon others went on with what some had to leave."""

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from typing import Any

from sqlalchemy import Row, Select, select

from service.base.db import Database
from service.base.tables import job_events, job_items, jobs, operations
from tests.crash.job_worker import writes

_GAP = 0.3
"""Of a lease: a worker that tells for longer not that it is well may have lost what it had."""


class Why(StrEnum):
    KILLED = "killed"
    STOPPED = "stopped"


@dataclass(slots=True)
class Absence:
    """A worker is dead, or stopped."""

    why: Why
    owner: str
    begin: float
    held: Mapping[str, int]
    """The epochs of what it had claimed, by job."""
    end: float = math.inf

    @property
    def is_over(self) -> bool:
        return self.end < math.inf


@dataclass(frozen=True, slots=True)
class Act:
    """A line of the file that all workers append to: what one did, of which job and item, by which claim."""

    at: float
    worker: str
    what: str
    job: str
    epoch: int
    item: str


@dataclass(frozen=True, slots=True)
class Takeover:
    """Of one job: by the first that another worker did of it, while who had it was away."""

    why: Why
    span: float
    """Seconds since it was killed or stopped."""
    idle: float
    """For how many of them, in one piece, some worker was well and had not taken it over yet."""
    is_met: bool
    """Whether who had it came back before the job was over."""


Rows = Sequence[Row[Any]]


@dataclass
class Evidence:
    absences: list[Absence] = field(default_factory=list)
    drained: dict[str, float] = field(default_factory=dict)
    """When workers were told to end."""
    cuts: list[float] = field(default_factory=list)
    lease: float = math.inf
    acts: Sequence[Act] = ()
    jobs: Rows = ()
    items: Rows = ()
    writes: Rows = ()
    events: Rows = ()
    steps: Rows = ()

    async def read(self, database: Database, acts: str, *, lease: float) -> None:
        self.lease = lease
        lines = (line.split() for line in acts.splitlines())
        self.acts = [Act(float(at), who, what, job, int(epoch), item) for at, who, what, job, epoch, item in lines]
        ordered: list[Select[Any]] = [
            select(jobs),
            select(job_items),
            select(writes).order_by(writes.c.number),
            select(job_events).order_by(job_events.c.job_id, job_events.c.number),
            select(operations).where(operations.c.parent_id.is_not(None)),
        ]
        self.jobs, self.items, self.writes, self.events, self.steps = [await database.fetch(one) for one in ordered]

    def of(self, why: Why) -> Sequence[Absence]:
        return [absence for absence in self.absences if absence.why == why]

    @cached_property
    def runs(self) -> Mapping[str, Mapping[int, Act]]:
        """The first line of each claim, by job and epoch."""
        runs = defaultdict[str, dict[int, Act]](dict)
        for act in self.acts:
            if act.what == "run":
                runs[act.job].setdefault(act.epoch, act)
        return runs

    @cached_property
    def takeovers(self) -> Sequence[Takeover]:
        ends = {job.id: job.finished_at.timestamp() for job in self.jobs if job.finished_at}
        found = []
        for absence in self.absences:
            for job, epoch in absence.held.items():
                taken = self.runs.get(job, {}).get(epoch + 1)
                if taken and absence.begin < taken.at < absence.end and taken.worker != absence.owner:
                    idle = self._longest_well(absence.begin, taken.at)
                    is_met = absence.end < ends.get(job, math.inf)
                    found.append(Takeover(absence.why, taken.at - absence.begin, idle, is_met))
        return found

    @cached_property
    def wasted(self) -> Sequence[Act]:
        """Claims of a job that a worker had who was well, and had not given it back."""
        away = {(act.job, act.epoch) for act in self.acts if act.what == "away"}
        found = []
        for runs in self.runs.values():
            for epoch, before in runs.items():
                after = runs.get(epoch + 1)
                if after and (before.job, epoch) not in away and not self._is_drained(before.worker, after.at):
                    is_well = self.is_well(before.worker, after.at - self.lease, after.at)
                    found += [after] if is_well else []
        return found

    @cached_property
    def late(self) -> Sequence[Act]:
        """Acts outside that were begun by who had lost the job."""
        last, late = defaultdict[str, int](int), []
        for act in self.acts:
            if act.epoch < last[act.job] and act.what == "act":
                late.append(act)
            last[act.job] = max(last[act.job], act.epoch)
        return late

    def is_well(self, worker: str, begin: float, end: float) -> bool:
        """Whether a worker would have renewed its leases all the while."""
        told = self._well.get(worker, ())
        points = [begin, *told[bisect_left(told, begin) : bisect_right(told, end)], end]
        return all(after - before < _GAP * self.lease for before, after in pairwise(points))

    def is_back(self, worker: str, at: float) -> float:
        """When a worker was stopped for the last time before, it came back then; 0 where it never was."""
        ends = (one.end for one in self.of(Why.STOPPED) if one.owner == worker and one.end < at)
        return max(ends, default=0.0)

    @cached_property
    def _well(self) -> Mapping[str, Sequence[float]]:
        well = defaultdict[str, list[float]](list)
        for act in self.acts:
            if act.what == "well":
                well[act.worker].append(act.at)
        return well

    def _longest_well(self, begin: float, end: float) -> float:
        """For how long some worker was well, in one piece."""
        longest = 0.0
        for told in self._well.values():
            since = last = -math.inf
            for at in told[bisect_left(told, begin) : bisect_right(told, end)]:
                since = at if at - last >= _GAP * self.lease else since
                last, longest = at, max(longest, at - since)
        return longest

    def _is_drained(self, worker: str, at: float) -> bool:
        return self.drained.get(worker, math.inf) < at
