"""Wildcards of policies: what they match, and that no pattern takes for ever."""

import itertools
from fnmatch import fnmatchcase

import pytest

from service.base import globs

ROLE = "arn:aws:iam::111111111111:role/ci/deploy"
MANY_STARS = "*" * 64
SPREAD_STARS = "*a" * 64


def test_every_short_pattern_matches_what_it_should() -> None:
    """Beside the standard library's, which knows the same two wildcards."""
    texts = ["".join(one) for size in range(5) for one in itertools.product("ab", repeat=size)]
    patterns = ["".join(one) for size in range(6) for one in itertools.product("ab*?", repeat=size)]
    differing = [
        (pattern, text)
        for pattern in patterns
        for text in texts
        if globs.matches(pattern, text) != fnmatchcase(text, pattern)
    ]
    assert differing == []
    assert not globs.matches("A", "a")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", True),
        (ROLE, True),
        ("arn:*:iam::*:role/*", True),
        ("arn:aws:*:role/ci/deploy", False),
        ("arn:aws:iam", True),
        ("arn:aws:ecr", False),
        ("arn:aws:iam::1?1111111111:role/*/deploy", True),
        ("arn:aws:iam::111111111111:role/*/*/*", False),
        ("arn:aws:iam::111111111111:role/ci/deploy:*", False),
    ],
)
def test_a_wildcard_stays_within_its_part_of_an_arn(pattern: str, *, expected: bool) -> None:
    assert globs.matches_arn(pattern, ROLE) is expected


def test_less_than_an_arn_matches_no_pattern_of_one() -> None:
    assert not globs.matches_arn("arn:aws:iam::111111111111:role/*", "arn:aws:iam")
    assert globs.matches_arn("*", "*")


def test_no_number_of_wildcards_takes_for_ever() -> None:
    """As regular expressions these would go on for longer than there are years."""
    assert not globs.matches(f"ecr:{MANY_STARS}s", "ecr:BatchCheckLayerAvailability")
    assert not globs.matches(f"{SPREAD_STARS}b", "a" * 256)
    assert not globs.matches_arn(f"arn:{SPREAD_STARS}b:*:*:*:{SPREAD_STARS}b", f"arn:{'a' * 256}:a:a:a:{'a' * 256}")
