"""How an operation is found by what it is about: each of its targets, and all that they are below.

`local/team/app` is found by itself, and below `local/`, `local/team/` and `local/team/app/`: prefixes are whole
segments, as in bindings. They are written out because no index over targets alone has a prefix in order of completion.
"""

from collections.abc import Iterator

MOST_CHARACTERS = 1024


def subjects_of(target: object, *targets: object) -> list[str]:
    """The rows of `operation_subjects` for an operation on `target`, or on `targets` where it stands for several."""
    found = [str(target)[:MOST_CHARACTERS]] if targets else []
    return list(dict.fromkeys([*found, *(subject for one in targets or (target,) for subject in _subjects(str(one)))]))


def below(prefix: str) -> str:
    """The subject that everything at and below `prefix` has."""
    return prefix.rstrip("/") + "/"


def _subjects(target: str) -> Iterator[str]:
    yield target
    parts = target.split("/")
    yield from (below("/".join(parts[:count])) for count in range(1, len(parts) + 1))
