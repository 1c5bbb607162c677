"""How an operation is found by what it is about: each of its targets, and all that they are below.

`local/team/app` is found by itself, and below `local/`, `local/team/` and `local/team/app/`: prefixes are whole
segments, as in bindings. They are written out because no index over targets alone has a prefix in order of completion.
"""

from functools import lru_cache

MOST_CHARACTERS = 1024


def subjects_of(target: object, *targets: object) -> list[str]:
    """The rows of `operation_subjects` for an operation on `target`, or on `targets` where it stands for several."""
    if not targets:
        return list(_subjects(str(target)))
    below_each = (subject for one in targets for subject in _subjects(str(one)))
    return list(dict.fromkeys([str(target)[:MOST_CHARACTERS], *below_each]))


def below(prefix: str) -> str:
    """The subject that everything at and below `prefix` has."""
    return prefix.rstrip("/") + "/"


@lru_cache(maxsize=4096)
def _subjects(target: str) -> tuple[str, ...]:
    parts = target.split("/")
    return target, *(below("/".join(parts[:count])) for count in range(1, len(parts) + 1))
