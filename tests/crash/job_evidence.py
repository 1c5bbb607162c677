"""What a run of jobs under trouble left behind, and what must hold of it."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any

from sqlalchemy import Row, Select, select

from service.base.db import Database
from service.base.tables import job_events, job_items, jobs, operations
from service.models.audit import Status
from service.models.jobs import JobState
from tests.crash.job_worker import AT_ONCE, EACH, ITEMS, writes

WITHIN = 5.0
"""Seconds in which another has to go on with the job of one that died."""


@dataclass(frozen=True, slots=True)
class Kill:
    owner: str
    at: float
    held: Mapping[str, int]
    """The epochs of what it had claimed, by job."""


@dataclass(frozen=True, slots=True)
class Stop:
    owner: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Act:
    """A line of the file that all workers append to: what one did, of which job and item, by which claim."""

    at: float
    worker: str
    what: str
    job: str
    epoch: int
    item: str


Rows = Sequence[Row[Any]]


@dataclass(slots=True)
class Evidence:
    kills: list[Kill] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    cuts: list[float] = field(default_factory=list)
    has_one_writer: bool = False
    """Who is stopped in the midst of a transaction has all others wait."""
    acts: Sequence[Act] = ()
    jobs: Rows = ()
    items: Rows = ()
    writes: Rows = ()
    events: Rows = ()
    steps: Rows = ()

    async def read(self, database: Database, acts: str) -> None:
        self.has_one_writer = database.is_sqlite
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

    def takeovers(self) -> Sequence[float]:
        """From each kill to the first that another did of each job: where neither it nor the database had trouble."""
        runs = {(act.job, act.epoch): act for act in self.acts if act.what == "run"}
        spans = []
        for kill in self.kills:
            for job, epoch in kill.held.items():
                taken = runs.get((job, epoch + 1))
                if taken and not self._is_troubled(taken.worker, kill.at, taken.at):
                    spans.append(taken.at - kill.at)
        return sorted(spans)

    def late(self) -> Sequence[Act]:
        """Acts outside that were begun by who had lost the job: paused between its record of the step and the act."""
        last, late = defaultdict[str, int](int), []
        for act in self.acts:
            if act.epoch < last[act.job] and act.what == "act":
                late.append(act)
            last[act.job] = max(last[act.job], act.epoch)
        return late

    def summary(self) -> str:
        spans, claims = self.takeovers(), sum(row.epoch for row in self.jobs)
        figures = f"{spans[0]:.2f} / {median(spans):.2f} / {spans[-1]:.2f} s" if spans else "none"
        return (
            f"{len(self.jobs)} jobs, {claims} claims, {len(self.kills)} kills, {len(self.stops)} stops, "
            f"{len(self.cuts)} cuts; {len(spans)} takeovers after a kill, least / median / most {figures}; "
            f"{len(self.late())} acts of who was paused amid a step"
        )

    def _is_troubled(self, worker: str, begin: float, end: float) -> bool:
        mine = [stop for stop in self.stops if stop.owner == worker or self.has_one_writer]
        is_stopped = any(stop.begin < end and stop.end > begin for stop in mine)
        return is_stopped or any(begin < cut < end for cut in self.cuts)


def violations(evidence: Evidence, *, within: float = WITHIN) -> Sequence[str]:
    """What does not hold that must, each in a few words.

    :param within: seconds in which another has to have gone on with the job of one that died.
    """
    checks = (_lost, _effects, _steps, _epochs, _log, _repeated, _late)
    late = [f"a takeover took {span:.2f} s" for span in evidence.takeovers() if span > within]
    return [*(violation for check in checks for violation in check(evidence)), *late]


def _lost(evidence: Evidence) -> Iterator[str]:
    """None is lost."""
    done = Counter(row.job_id for row in evidence.items if row.state == "done")
    for job in evidence.jobs:
        if job.state != JobState.SUCCEEDED or job.lease_owner is not None or done[job.id] != len(ITEMS):
            yield f"job {job.id} is {job.state}, with {done[job.id]} items done: {job.error}"


def _effects(evidence: Evidence) -> Iterator[str]:
    """Each effect once."""
    firsts = Counter((row.job_id, row.item) for row in evidence.writes if row.is_first)
    wanted = {(job.id, item) for job in evidence.jobs for item in ITEMS}
    for one in wanted | firsts.keys():
        if firsts[one] != 1 or one not in wanted:
            yield f"the effect of {one} is there {firsts[one]} times"


def _steps(evidence: Evidence) -> Iterator[str]:
    """Each step recorded once, and completed."""
    steps = Counter((row.parent_id, row.action, row.item) for row in evidence.steps)
    yield from (f"step {one} is recorded {many} times" for one, many in steps.items() if many != 1)
    of_items = Counter(row.parent_id for row in evidence.steps if row.action == EACH)
    yield from (f"job {job.id} has {of_items[job.id]} steps" for job in evidence.jobs if of_items[job.id] != len(ITEMS))
    for row in evidence.steps:
        if row.status != Status.SUCCEEDED:
            yield f"step {row.item} of {row.parent_id} is {row.status}"


def _epochs(evidence: Evidence) -> Iterator[str]:
    """No claim writes once a later one has written."""
    noted = [(row.job_id, row.data["epoch"]) for row in evidence.events if "epoch" in row.data]
    for told, pairs in (("table", [(row.job_id, row.epoch) for row in evidence.writes]), ("log", noted)):
        last = defaultdict[str, int](int)
        for job, epoch in pairs:
            if epoch < last[job]:
                yield f"epoch {epoch} of {job} wrote to its {told} after epoch {last[job]}"
            last[job] = max(last[job], epoch)
    begun = {(act.job, act.epoch, act.worker) for act in evidence.acts if act.what == "run"}
    of_each = Counter((job, epoch) for job, epoch, _ in begun)
    yield from (f"epoch {epoch} of {job} is of {many} workers" for (job, epoch), many in of_each.items() if many > 1)


def _log(evidence: Evidence) -> Iterator[str]:
    """A job's log is numbered without a gap, from its acceptance to its one end."""
    logs = defaultdict[str, list[Any]](list)
    for row in evidence.events:
        logs[row.job_id].append(row)
    for job, log in logs.items():
        types = [row.type for row in log]
        ends = types.count(JobState.SUCCEEDED)
        if types[0] != "accepted" or types[-1] != JobState.SUCCEEDED or ends != 1:
            yield f"the log of {job} is {types}"
        if any(after.number != before.number + 1 for before, after in pairwise(log)):
            yield f"the log of {job} has a gap"


def _repeated(evidence: Evidence) -> Iterator[str]:
    """An act is begun again after a takeover alone, or where the database was cut off; never once it is recorded."""
    begun = Counter((act.job, act.item, act.epoch) for act in evidence.acts if act.what == "act")
    for one, many in begun.items():
        if many > 1 + len(evidence.cuts):
            yield f"act {one} was begun {many} times by one claim"
    completed = {(row.parent_id, row.item or "all"): row for row in evidence.steps}
    for act in evidence.acts:
        step = completed.get((act.job, act.item)) if act.what == "act" else None
        is_over = step and step.completed_at and step.completed_at.timestamp() < act.at
        if step and is_over and act.epoch >= step.result["epoch"]:
            yield f"act {act.item} of {act.job} was begun by epoch {act.epoch} though it was done"


def _late(evidence: Evidence) -> Iterator[str]:
    """Who has lost a job begins no act, but for those that it was about to begin when it was stopped."""
    late = Counter((act.job, act.epoch) for act in evidence.late())
    yield from (f"{one} did {many} acts after it had lost the job" for one, many in late.items() if many > AT_ONCE)
