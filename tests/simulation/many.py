"""Many histories, over several processes."""

import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context

import structlog

from tests.simulation.driver import Driver
from tests.simulation.oracle import judge
from tests.simulation.plan import draw

_PART = 250


@dataclass(slots=True)
class Tally:
    """What came of many histories."""

    histories: int = 0
    broken: dict[int, list[str]] = field(default_factory=dict)
    """What they break, by the seeds of those that break anything."""
    statuses: Counter[str] = field(default_factory=Counter)
    """How often a row ended how."""

    def add(self, other: "Tally") -> None:
        self.histories += other.histories
        self.broken |= other.broken
        self.statuses += other.statuses


def quiet() -> None:
    """Without the service's log: the history says it better; and of what a crash left unstarted there is no end."""
    warnings.filterwarnings("ignore", r"coroutine .* was never awaited", RuntimeWarning)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


def play(seeds: range) -> Tally:
    driver, tally = _driver(), Tally(len(seeds))
    for seed in seeds:
        played = driver.play(draw(seed))
        tally.statuses.update(row["status"] for row in played.rows)
        if broken := judge(played):
            tally.broken[seed] = [str(one) for one in broken]
    return tally


@cache
def _driver() -> Driver:
    return Driver()


def play_side_by_side(first: int, count: int, jobs: int) -> Iterator[Tally]:
    """What came of them, part by part as they are played."""
    seeds = range(first, first + count)
    parts = [seeds[at : at + _PART] for at in range(0, count, _PART)]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=quiet) as pool:
        yield from pool.map(play, parts)
