"""The size of every day; `python -m tests.simulation --histories 100000 --jobs 2` is that of the night."""

import pytest

from tests.simulation.__main__ import summary
from tests.simulation.many import play

_EACH = 250


@pytest.mark.parametrize("first", range(0, 2000, _EACH))
def test_no_history_breaks_a_promise(first: int) -> None:
    """Each of these seeds alone: `python -m tests.simulation --seed N`."""
    tally = play(range(first, first + _EACH))
    assert not tally.broken, summary(tally)
    # None of it would mean anything if nothing had been done, lost and found again.
    assert min(tally.statuses[status] for status in ("succeeded", "failed", "unknown", "replayed")) > 0
