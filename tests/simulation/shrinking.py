"""A failing history made small: without the events and the faults that it breaks its promise without."""

from collections.abc import Iterator
from dataclasses import replace

from tests.simulation.driver import Driver, Played
from tests.simulation.oracle import judge
from tests.simulation.plan import Plan


def shrink(driver: Driver, plan: Plan, rule: str) -> Plan:
    """The smallest plan found that still breaks `rule`."""
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for less in _smaller(plan, driver.play(plan)):
            if _breaks(driver.play(less), rule):
                plan, is_smaller = less, True
                break
    return plan


def _smaller(plan: Plan, played: Played) -> Iterator[Plan]:
    for position in range(len(plan.events)):
        yield replace(plan, events=plan.events[:position] + plan.events[position + 1 :])
    for name in dict.fromkeys(played.world.names):
        if name not in plan.calm:
            yield replace(plan, calm=plan.calm | {name})


def _breaks(played: Played, rule: str) -> bool:
    return any(one.rule == rule for one in judge(played))
