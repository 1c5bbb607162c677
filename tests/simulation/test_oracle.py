"""The simulation can fail: replicas that break a promise are found out, and a history is the same each time."""

import os
import subprocess
import sys

import pytest

from tests.simulation import mutants
from tests.simulation.driver import Driver
from tests.simulation.oracle import judge
from tests.simulation.plan import draw
from tests.simulation.replica import Replica

_MOST = 300


@pytest.mark.parametrize(
    ("mutant", "rule"),
    [
        (mutants.SaysFailed, "failed, but done"),
        (mutants.SaysSucceeded, "succeeded, but not done"),
        (mutants.NeverKnows, "open for ever"),
        (mutants.ForgetsKeys, "twice under one key"),
        (mutants.WritesNothing, "unrecorded"),
        (mutants.BelievesItsFirstLook, "failed, but done"),
        (mutants.SendsPastItsDeadline, "sent past its deadline"),
        (mutants.RepeatsWhatWasApplied, "twice under one key"),
    ],
)
def test_a_replica_that_breaks_a_promise_is_found_out(mutant: type[Replica], rule: str) -> None:
    driver = Driver()
    assert any(one.rule == rule for seed in range(_MOST) for one in judge(driver.play(draw(seed), mutant)))


def test_a_seed_replays_to_the_step_in_another_process() -> None:
    printed = [_replay(hash_seed) for hash_seed in ("1", "2")]
    assert "asks to" in printed[0]
    assert printed[0] == printed[1]


def _replay(hash_seed: str) -> str:
    command = [sys.executable, "-m", "tests.simulation", "--seed", "212", "--whole"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout  # noqa: S603 - ours
