"""What AWS has now, against what was asked for and what was there before: what became of an operation.

A success is what is as asked, a failure only what is as it was before. Anything else may be of this operation's doing
or of somebody's after it, and nobody can tell: a repeat must not do it over what is there by now.
"""

from collections.abc import Sequence

from service.models.audit import Status
from service.operations.calls import Json, Open, Settled

_ABSENT = "absent; who deleted it is not proven"
_AS_BEFORE = "as it was before: it was not done"
_OTHERWISE = "neither as asked nor as it was before: somebody else changed it too"
_REPLACED = "another one of that name is there, younger than this operation"


def change(operation: Open, now: Json, asked: Json, *, result: Json, found: Json | None) -> Settled:
    """Of a change that sets `asked`, all of it at once. `now` and `before` have the same members, `asked` some."""
    if asked.items() <= now.items():
        return Settled(Status.SUCCEEDED, "found as it was asked for", result, found)
    if now == operation.before:
        return Settled(Status.FAILED, _AS_BEFORE, found=found)
    return Settled(Status.UNKNOWN, _OTHERWISE, found=found, if_done=result)


def deletion(operation: Open, now: Json | None, *, found: Json | None) -> Settled:
    """Of a deletion; `now` is None where there is nothing."""
    if now is None:
        return Settled(Status.SUCCEEDED, _ABSENT, {})
    if now == operation.before:
        return Settled(Status.FAILED, _AS_BEFORE, found=found)
    return Settled(Status.UNKNOWN, _REPLACED, found=found, if_done={})


def fields(operation: Open, now: Json, asked: Json, *, result: Json) -> Settled:
    """Of a change that sets the fields of `asked` one after another; each is told of once."""
    before = operation.before or {}
    left = [name for name in asked if now[name] != asked[name]]
    if not left:
        return Settled(Status.SUCCEEDED, "every field is as asked", result, result)
    is_same = now["created_at"] == before.get("created_at")
    changed = [name for name in left if not is_same or now[name] != before[name]]
    if changed:
        by_outcome = _fields_by_outcome(operation, asked, left, changed)
        return Settled(Status.UNKNOWN, f"{_OTHERWISE}: {', '.join(changed)}", by_outcome, result)
    if all(now[name] == before[name] for name in asked):
        left = list(asked)
    is_part = operation.applied or len(left) < len(asked)
    by_outcome = _fields_by_outcome(operation, asked, left, changed)
    return Settled(
        Status.PARTIAL if is_part else Status.FAILED, f"as it was before: {', '.join(left)}", by_outcome, found=result
    )


def _fields_by_outcome(operation: Open, asked: Json, left: Sequence[str], changed: Sequence[str]) -> Json:
    return {
        "applied": [*operation.applied, *(name for name in asked if name not in left)],
        "not_applied": [name for name in left if name not in changed],
        "unknown": list(changed),
    }
