"""Recording the steps of a rollout: each is a child operation, written down before it is done and once it is done."""

from collections.abc import Awaitable, Callable

from sqlalchemy.ext.asyncio import AsyncConnection

from service.access.actions import Step
from service.base.errors import ConflictError, WharfingerError
from service.base.permits import Permit, permit
from service.deployments.record import DeploymentRecord
from service.deployments.store import DeploymentStore
from service.models.audit import Status
from service.operations.calls import Child, Json
from service.operations.ledger import Ledger

Act = Callable[[], Awaitable[Json]]
"""Does a step; gives what is recorded of it. It may be called again, by who takes over after a crash."""


class Recorder:
    def __init__(self, *, ledger: Ledger, store: DeploymentStore) -> None:
        self._ledger = ledger
        self._store = store

    async def run(self, record: DeploymentRecord, step: Step, request: Json, act: Act) -> None:
        """Do a step, unless it was done before.

        :raises WharfingerError: why it failed, now or before; where that is retryable, the step may be tried again.
        :raises LostError: the deployment is over, or not ours any more.
        """
        child = await self._open(record, step, request)
        if child.status == Status.SUCCEEDED:
            return
        if child.status == Status.FAILED:
            raise ConflictError(child.note or "", code=child.code)
        await self._ledger.complete(child.id, Status.SUCCEEDED, result=await self._try(child, act))

    async def _try(self, child: Child, act: Act) -> Json:
        token = permit.set(Permit(child.id))
        try:
            return await act()
        except WharfingerError as error:
            if not error.retryable:  # else the row stays open
                note = error.detail[:512]
                await self._ledger.complete(child.id, Status.FAILED, code=error.code, note=note)
            raise
        finally:
            permit.reset(token)

    async def _open(self, record: DeploymentRecord, step: Step, request: Json) -> Child:
        async def guard(connection: AsyncConnection) -> None:
            await self._store.keep(connection, record.id, None, {})

        within = record.spec.progress_deadline
        return await self._ledger.open_child(record.parent, step, request, within=within, guard=guard)
