"""What the run of a job has in hand: the only way by which a worker writes."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from service.access.actions import Action, Step
from service.base.clock import utcnow
from service.models.jobs import JobState
from service.operations.calls import Json, Write
from service.operations.jobs.items import Counts, ItemAct, Items
from service.operations.jobs.steps import Act, Steps
from service.operations.jobs.store import JobStore
from service.operations.jobs.values import CancelledJobError, Ending, Item, Job
from service.operations.ledger import Ledger


class Work:
    """A job that this worker has claimed. Each write asks whether it still has: `LostError` where it has not."""

    def __init__(self, job: Job, *, longest: timedelta, store: JobStore, items: Items, ledger: Ledger) -> None:
        """:param longest: how long the job may take, of its kind."""
        self.job = job
        self.is_cancelled = asyncio.Event()
        """Set once somebody has asked to end the job, or its time is up: no step and no item is begun any more."""
        self.is_finished = False
        """Whether `finish` has ended the job."""
        self._longest = longest
        self._store = store
        self._items = items
        self._steps = Steps(ledger=ledger, job=job, guard=self.write)

    @property
    def is_overdue(self) -> bool:
        """Whether the job has taken longer than its kind may."""
        return self.job.started_at is not None and utcnow() - self.job.started_at > self._longest

    @property
    def is_amid_step(self) -> bool:
        """Whether something is being changed outside just now."""
        return self._steps.at_work > 0

    async def write(self, connection: AsyncConnection) -> None:
        """Hold the job until the transaction ends: what is written in it is of the worker who has the job, or of none.

        :raises LostError: it is over, or was claimed by another since.
        """
        await self._store.hold(connection, self.job)

    async def note(
        self, event: str | None, data: Json, *, progress: Json | None = None, write: Write | None = None
    ) -> None:
        """Write to the job's log, to what it shows of its progress, and by `write` to other tables, in one commit.

        :raises LostError: it is over, or was claimed by another since.
        """
        await self._store.note(self.job, event, data, progress=progress, write=write)

    async def finish(
        self, state: JobState, data: Json | None = None, *, error: Json | None = None, write: Write | None = None
    ) -> None:
        """End the job, with what `write` makes true of other tables in the same commit.

        :raises LostError: it is over, or was claimed by another since.
        """
        await self._store.finish(self.job, Ending(state, data or {}, error), write)
        self.is_finished = True

    async def step(self, action: Action | Step, request: Json, act: Act, *, within: timedelta, item: str = "") -> Json:
        """Do a step by calling `act`, recorded before and after; gives its result, also of one that was done before.

        A crash in the middle of it has it done again, so it must be idempotent. So has an error that is retryable; one
        that is not is the step's end, and raised again by whoever comes to it later.

        :param item: which of many, where the same is done with each.
        :raises LostError: the job is over, or was claimed by another since; or its lease has ended, and something that
            `act` asks for was not sent.
        :raises WharfingerError: of `act`, or the one that ended the step before.
        """
        self._require_wanted()
        return await self._steps.run(action, request, act, within=within, item=item)

    async def add_items(self, keys: Sequence[str]) -> None:
        """Have these to do, each once: those that the job has already stay as they are."""
        await self._items.add(self.job, keys)

    async def each_item(self, act: ItemAct, *, at_once: int) -> Counts:
        """Do what `act` does with each item that is not done yet; the job's progress counts them.

        An error that is not retryable is the item's own, and the others go on; any other ends it, once those at work
        are through.
        """

        async def wanted(item: Item) -> Json | None:
            self._require_wanted()
            return await act(item)

        return await self._items.each(self.job, wanted, at_once=at_once)

    def _require_wanted(self) -> None:
        if self.is_cancelled.is_set():
            raise CancelledJobError(self.job.id)
