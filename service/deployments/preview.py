"""What a deploy would change, as it may be shown: not what was secret before, nor what others wrote."""

import re
from collections.abc import Iterator
from typing import Any

from service.deployments.checks import KINDS, Checked
from service.deployments.diff import MASK, changes_between, masked
from service.deployments.workloads import is_ours
from service.models.deployments import Change

_SHOWN = re.compile(r"\.(name|image)$")
"""What tells a stranger's containers apart; their arguments, annotations and all else may hold a password."""


def changes_of(name: str, checked: Checked) -> Iterator[Change]:
    for kind in KINDS:
        there = checked.before[kind]
        theirs = frozenset(_texts_in("", there)) if there is not None and not is_ours(there) else frozenset()
        for path, before, after in changes_between(there, checked.after[kind]):
            yield Change(
                object=f"{kind}/{name}",
                path=path,
                before=_without(theirs, path, masked(path, before)),
                after=_without(theirs, path, masked(path, after)),
            )


def _texts_in(path: str, value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    if isinstance(value, str) and not _SHOWN.search(path):
        yield value
    for below, one in _parts(path, value):
        yield from _texts_in(below, one)


def _without(theirs: frozenset[str], path: str, value: Any) -> Any:  # noqa: ANN401 - JSON
    """The value without the texts that somebody else wrote, wherever they are by now."""
    if isinstance(value, dict):
        return {name: _without(theirs, f"{path}.{name}", one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without(theirs, f"{path}[]", one) for one in value]
    is_theirs = isinstance(value, str) and value in theirs and not _SHOWN.search(path)
    return MASK if is_theirs else value


def _parts(path: str, value: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        yield from ((f"{path}.{name}", one) for name, one in value.items())
    elif isinstance(value, list):
        yield from ((f"{path}[]", one) for one in value)
