"""The steps of a job: each a child of the operation that accepted it, recorded before it is done and once done.

What a step asks for outside goes out within the job's lease, or not at all.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from service.access.actions import Action, Step
from service.base.errors import ConflictError, WharfingerError
from service.base.permits import Permit, permit
from service.models.audit import Status
from service.operations.calls import Child, Json, Write
from service.operations.jobs.values import Job, LapsedError
from service.operations.ledger import Ledger

Act = Callable[[], Awaitable[Json]]


class Steps:
    """Of one job, by one worker: `guard` refuses to write where another has it by now."""

    def __init__(self, *, ledger: Ledger, job: Job, guard: Write) -> None:
        self._ledger = ledger
        self._job = job
        self._guard = guard
        self.at_work = 0

    async def run(self, action: Action | Step, request: Json, act: Act, *, within: timedelta, item: str) -> Json:
        """See `Work.step`."""
        parent = self._job.parent
        child = await self._ledger.open_child(parent, action, request, within=within, guard=self._guard, item=item)
        if child.status == Status.SUCCEEDED:
            return child.result or {}
        if child.status != Status.PENDING:
            raise ConflictError(child.note or "", code=child.code)
        self.at_work += 1
        try:
            return await self._do(child, act)
        finally:
            self.at_work -= 1

    async def _do(self, child: Child, act: Act) -> Json:
        leave = Permit(child.id, self._job.term)
        token = permit.set(leave)
        try:
            result = await act()
        except WharfingerError as error:
            if leave.is_held_back:  # whatever `act` made of that
                raise LapsedError(self._job.id) from error
            if not error.retryable:  # else the row stays open: the step is tried again
                await self._ledger.complete(
                    child.id, Status.FAILED, guard=self._guard, code=error.code, note=error.detail
                )
            raise
        finally:
            permit.reset(token)
        await self._ledger.complete(child.id, Status.SUCCEEDED, guard=self._guard, result=result)
        return result
