"""What must hold of a run of jobs under trouble; and whether there was trouble enough for it to be a proof."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from service.models.audit import Status
from service.models.jobs import JobState
from tests.crash.job_evidence import Evidence, Why
from tests.crash.job_worker import AT_ONCE, EACH, END, ITEMS


def violations(evidence: Evidence, *, within: float) -> Sequence[str]:
    """What does not hold that must, each in a few words.

    :param within: seconds that another may be there and not go on with the job of one that is away.
    """
    checks = (_lost, _effects, _steps, _epochs, _fenced, _log, _repeated, _items, _late, _stale, _wasted)
    late = [f"a takeover took {one.idle:.2f} s" for one in evidence.takeovers if one.idle > within]
    return [*(violation for check in checks for violation in check(evidence)), *late]


def unproven(evidence: Evidence, *, least: int) -> Sequence[str]:
    """What there was too little of for the run to prove anything.

    :param least: takeovers of either cause that there have to be.
    """
    for_each = {why: [one for one in evidence.takeovers if one.why == why] for why in Why}
    met = [one for one in for_each[Why.STOPPED] if one.is_met]
    there = {f"jobs of who was {why} were taken over": len(found) for why, found in for_each.items()}
    there["times who was stopped came back to a job that another was amid"] = len(met)
    there["commits were noted, by which `_fenced` judges"] = [act.what for act in evidence.acts].count("commit")
    return [f"only {many} {what}: no proof" for what, many in there.items() if many < least]


def _lost(evidence: Evidence) -> Iterator[str]:
    """None is lost."""
    done = Counter(row.job_id for row in evidence.items if row.state == "done")
    for job in evidence.jobs:
        if job.state != JobState.SUCCEEDED or job.lease_owner is not None or done[job.id] != len(ITEMS):
            yield f"job {job.id} is {job.state}, with {done[job.id]} items done: {job.error}"


def _effects(evidence: Evidence) -> Iterator[str]:
    """Each effect once."""
    firsts = Counter((row.job_id, row.item) for row in evidence.writes if row.is_first)
    wanted = {(job.id, item) for job in evidence.jobs for item in (*ITEMS, END)}
    for one in wanted | firsts.keys():
        if firsts[one] != 1 or one not in wanted:
            yield f"the effect of {one} is there {firsts[one]} times"
    ends = Counter(row.job_id for row in evidence.writes if row.item == END)
    yield from (f"job {job} was ended {many} times" for job, many in ends.items() if many != 1)


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


def _fenced(evidence: Evidence) -> Iterator[str]:
    """No claim commits once a later one is at work: what it is about to commit holds the job, unless it was cut off."""
    for act in evidence.acts:
        runs = evidence.runs.get(act.job, {}) if act.what == "commit" else {}
        is_later = any(run.at < act.at for epoch, run in runs.items() if epoch > act.epoch)
        if is_later and not any(float(act.item) <= cut <= act.at for cut in evidence.cuts):
            yield f"epoch {act.epoch} of {act.job} wrote when a later one was at work"


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


def _items(evidence: Evidence) -> Iterator[str]:
    """Who begins a job again begins no item that is recorded: of those that were written, no more than were at work."""
    noted = [row for row in reversed(evidence.events) if row.type == "written"]
    written = {(row.job_id, row.data["item"]): row.at.timestamp() for row in noted}  # the first time
    again = {
        (act.job, act.epoch, act.item)
        for act in evidence.acts
        if act.what == "item" and written.get((act.job, act.item), act.at) < act.at
    }
    runs = Counter((act.job, act.epoch) for act in evidence.acts if act.what == "run")
    for one, many in Counter((job, epoch) for job, epoch, _ in again).items():
        if many > AT_ONCE * runs[one]:
            yield f"{one} began {many} items that were done"


def _late(evidence: Evidence) -> Iterator[str]:
    """Who has lost a job begins no act any more: its leave to act ended before its lease did."""
    yield from (f"act {act.item} of {act.job} was begun by epoch {act.epoch} too late" for act in evidence.late)


def _stale(evidence: Evidence) -> Iterator[str]:
    """Who is back and has lost a job hears of it as it renews its leases, and is not at it a lease later."""
    for act in evidence.acts:
        runs = evidence.runs.get(act.job, {}) if act.what == "done" else {}
        lost = [run.at for epoch, run in runs.items() if epoch > act.epoch]
        since = max(min(lost), evidence.is_back(act.worker, act.at)) if lost else act.at
        if act.at - since > evidence.lease and evidence.is_well(act.worker, since, act.at):
            yield f"epoch {act.epoch} of {act.job} was at work {act.at - since:.1f} s after it had lost the job"


def _wasted(evidence: Evidence) -> Iterator[str]:
    """No job is taken from who is well."""
    yield from (f"epoch {act.epoch} of {act.job} was taken from who was well" for act in evidence.wasted)
