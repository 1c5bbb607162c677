"""Many histories, over several processes."""

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

import structlog

from tests.simulation.driver import Driver
from tests.simulation.oracle import judge
from tests.simulation.plan import draw


@dataclass(slots=True)
class Tally:
    """What came of many histories."""

    broken: dict[int, list[str]] = field(default_factory=dict)
    """What they break, by the seeds of those that break anything."""
    statuses: Counter[str] = field(default_factory=Counter)
    """How often a row ended how."""


def quiet() -> None:
    """Without the service's log: the history says it better."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


def play(seeds: range) -> Tally:
    driver, tally = Driver(), Tally()
    for seed in seeds:
        played = driver.play(draw(seed))
        tally.statuses.update(row["status"] for row in played.rows)
        if broken := judge(played):
            tally.broken[seed] = [str(one) for one in broken]
    return tally


def play_side_by_side(first: int, count: int, jobs: int) -> Tally:
    chunks = [range(first + job, first + count, jobs) for job in range(jobs)]
    whole = Tally()
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=quiet) as pool:
        for part in pool.map(play, chunks):
            whole.broken |= part.broken
            whole.statuses += part.statuses
    return whole
