"""`python -m tests.simulation`: many histories, or one again."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence

from tests.simulation.driver import Driver, Played
from tests.simulation.many import Tally, play_side_by_side, quiet
from tests.simulation.oracle import Violation, judge
from tests.simulation.plan import Plan, draw
from tests.simulation.shrinking import shrink

_MOST_SHOWN = 20
_TOLD_EVERY = 10_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Says 1 where any history broke a promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this history alone, and print it")
    parser.add_argument("--whole", action="store_true", help="with --seed: as drawn, not made small")
    parser.add_argument("--histories", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1)
    chosen = parser.parse_args(arguments)
    quiet()
    if chosen.seed is not None:
        return _replay(chosen.seed, is_whole=chosen.whole)
    began = time.monotonic()
    tally, told = Tally(), 0
    for part in play_side_by_side(chosen.first, chosen.histories, chosen.jobs):
        tally.add(part)
        if tally.histories - told >= _TOLD_EVERY:
            told = tally.histories
            _tell(f"{told} histories, {told / (time.monotonic() - began):.0f} a second, {len(tally.broken)} broken")
    _tell(f"{tally.histories} histories in {time.monotonic() - began:.0f} s\n{summary(tally)}")
    return 1 if tally.broken else 0


def _tell(text: str) -> None:
    """At once, also where a log is written to a file."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def summary(tally: Tally) -> str:
    seeds = sorted(tally.broken)
    rules = Counter(text.partition(":")[0] for broken in tally.broken.values() for text in broken)
    ended = ", ".join(f"{count} {status}" for status, count in sorted(tally.statuses.items()))
    lines = [f"seed {seed}: {'; '.join(tally.broken[seed])}" for seed in seeds[:_MOST_SHOWN]]
    lines += [f"{count} x {rule}" for rule, count in rules.most_common()]
    return "\n".join([*lines, f"{len(seeds)} break a promise; rows: {ended}"])


def _replay(seed: int, *, is_whole: bool) -> int:
    driver, plan = Driver(), draw(seed)
    broken = judge(driver.play(plan))
    if broken and not is_whole:
        plan = shrink(driver, plan, broken[0].rule)
    played = driver.play(plan)
    sys.stdout.write(f"{_printed(plan, played, judge(played))}\n")
    return 1 if broken else 0


def _printed(plan: Plan, played: Played, broken: list[Violation]) -> str:
    head = f"seed {plan.seed}: {plan.fault_rate:.0%} of attempts go wrong, {len(plan.calm)} are spared"
    start = "starts without the repository" if not plan.start else "starts with the repository"
    text = "\n".join([head, start, *map(str, played.world.entries), *map(_row, played.rows), *map(str, broken)])
    for number, row in enumerate(played.rows, 1):
        text = text.replace(row["id"], f"op-{number}")
    return text


def _row(row: dict[str, object]) -> str:
    said = " ".join(str(row[name]) for name in ("status", "code", "settled_by", "note") if row[name])
    return f"row {row['id']}: {row['action']} of {row['request_id']}: {said}"


if __name__ == "__main__":
    sys.exit(main())
