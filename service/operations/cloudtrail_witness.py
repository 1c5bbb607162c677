"""CloudTrail as a witness: it tells what the state of things can't, some minutes late, where the role may ask it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from service.base.clock import utcnow
from service.base.errors import AwsPermissionError, WharfingerError
from service.clients.aws.errors import is_refusal
from service.clients.cloudtrail import CloudTrail, Event
from service.models.audit import Status
from service.operations.calls import Open, Settled

_ASK_NOT_FOR = timedelta(hours=1)
"""Where the role may not ask."""
_AROUND = timedelta(minutes=5)
"""That AWS's clock and ours may differ."""

TrailOf = Callable[[str | None], CloudTrail]
"""Finds the trail of a registry by its name."""

log = structlog.get_logger()


class CloudTrailWitness:
    def __init__(self, *, trail_of: TrailOf, patience: timedelta) -> None:
        """:param patience: since an operation began, until no event is waited for; 0: CloudTrail is not asked."""
        self._trail_of = trail_of
        self._patience = patience
        self._denied_until: dict[str | None, datetime] = {}

    async def decide(self, operation: Open, settled: Settled, call: str, started_at: datetime) -> Settled | None:
        """What became of an operation, where its state left that open as `settled`; None: there may be an event yet.

        :param call: AWS's name for what the operation does.
        """
        registry = operation.registry
        if not self._patience or self._denied_until.get(registry, started_at) > utcnow():
            return settled
        try:
            trail = self._trail_of(registry)
            events = await trail.find(operation.id, call, started_at - _AROUND, utcnow() + _AROUND)
        except AwsPermissionError:
            self._denied_until[registry] = utcnow() + _ASK_NOT_FOR
            return settled
        except WharfingerError as error:
            log.warning("cloudtrail_silent", operation=operation.id, code=error.code, detail=error.whole_detail)
            events = ()
        return _proven_by(events, settled) or (settled if utcnow() - started_at > self._patience else None)


def _proven_by(events: Sequence[Event], settled: Settled) -> Settled | None:
    for one in events:
        if one.error is None:
            note = f"CloudTrail's event {one.id} shows that it was done, and the state that it was changed since"
            return replace(settled, status=Status.SUCCEEDED, note=note, result=settled.if_done)
    for one in events:
        if one.error is not None and is_refusal(one.error):
            return replace(settled, status=Status.FAILED, note=f"CloudTrail's event {one.id}: refused with {one.error}")
    return None
