"""The replicas' shared work: each runs the jobs it has claimed, and takes over those of one that died.

The jobs table is all the state there is. A job that is begun again, here or elsewhere, finds in the trail which of its
steps are done.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from service.base.beats import Beat
from service.base.errors import DatabaseError
from service.operations.jobs.attempts import Attempt
from service.operations.jobs.claims import Claims, beat_of
from service.operations.jobs.items import Items
from service.operations.jobs.kinds import Kind
from service.operations.jobs.store import JobStore
from service.operations.jobs.values import Job
from service.operations.jobs.wakeups import Wakeups
from service.operations.jobs.work import Work
from service.operations.ledger import Ledger

_SPREAD = 0.3
_LAST_BEAT_SECONDS = 5.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Held:
    """A job that this replica has claimed, and what works on it."""

    work: Work
    task: asyncio.Task[None]


class Runner:
    """Claims jobs, runs them in this process, and keeps their leases."""

    def __init__(
        self,
        *,
        store: JobStore,
        claims: Claims,
        items: Items,
        ledger: Ledger,
        kinds: Mapping[str, Kind],
        wakeups: Wakeups,
    ) -> None:
        self._store = store
        self._claims = claims
        self._items = items
        self._ledger = ledger
        self._kinds = kinds
        self._wakeups = wakeups
        self._held: dict[str, _Held] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        """What runs jobs here, those included that were dropped and have not stopped yet."""
        self._full: set[str] = set()
        self._renewal: Beat | None = None
        self._claim: Beat | None = None
        self._duties: list[Beat] = []
        self._beats: tuple[Beat, ...] = ()
        self.is_working = False
        """Whether it claims jobs: not before it is started, nor once it was told to end."""

    @property
    def held(self) -> Sequence[Job]:
        """The jobs that this replica has claimed."""
        return [one.work.job for one in self._held.values()]

    def add_duty(self, duty: Beat) -> None:
        """Have something done beside, wherever jobs are worked on."""
        self._duties.append(duty)

    def start(self) -> None:
        """Begin to work on the kinds that are registered by now."""
        self.is_working = bool(self._kinds)
        if self.is_working:
            often = min(beat_of(kind) for kind in self._kinds.values())
            self._renewal = Beat("jobs_renewal", self.renew, often)
            self._claim = Beat("jobs_claim", self.claim, often, spread=_SPREAD)
            self._beats = (self._renewal, self._claim, *self._duties)
            self._wakeups.listen(self._claim.wake)
        for beat in self._beats:
            beat.start()

    async def close(self) -> None:
        """Stop, and leave what is not finished to others at once."""
        self.is_working = False
        await self._wakeups.close()
        await asyncio.gather(*(beat.close(_LAST_BEAT_SECONDS) for beat in self._beats))
        held = self.held
        for task in self.tasks:
            _stop(task)
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=_LAST_BEAT_SECONDS)
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        if held:
            with suppress(DatabaseError):
                await self._claims.release(held)

    def begin(self, job: Job) -> None:
        """Run a job that this replica has claimed."""
        self.drop(job.id)
        longest = self._kinds[job.kind].longest
        work = Work(job, longest=longest, store=self._store, items=self._items, ledger=self._ledger)
        task = asyncio.create_task(self._run(work), name=f"job {job.id}")
        held = self._held[job.id] = _Held(work, task)
        self.tasks.add(task)
        task.add_done_callback(lambda _: self._forget(held))

    def drop(self, job_id: str) -> None:
        """Run a job no more that is over, or another's."""
        if held := self._held.pop(job_id, None):
            _stop(held.task)

    def look(self, job_id: str) -> None:
        """See what has become of a job, where it is run here: over, asked to end, or another's."""
        if job_id in self._held and self._renewal:
            self._renewal.wake()

    def wake(self) -> None:
        """See at once whether there is a job to claim."""
        if self._claim:
            self._claim.wake()

    async def renew(self) -> None:
        """Keep all leases; stop what is not ours any more, and what is to end as soon as it is amid no step."""
        held = list(self._held.values())
        kept = await self._claims.renew([one.work.job for one in held]) if held else {}
        for one in held:
            is_asked_to_end = kept.get(one.work.job.id)
            if is_asked_to_end is None:
                self._lose(one)
            elif is_asked_to_end or one.work.is_overdue:
                one.work.is_cancelled.set()
                if not one.work.is_amid_step:
                    _stop(one.task)

    async def claim(self) -> None:
        """Take what is due and nobody's, as much of each kind as there is room for."""
        taken = Counter(job.kind for job in self.held)
        room = {name: kind.concurrency - taken[name] for name, kind in self._kinds.items()}
        self._full = {name for name in room if room[name] <= 0}
        wanted = [name for name in room if name not in self._full]
        for name in await self._claims.due(wanted) if wanted else ():
            claimed = await self._claims.claim(self._kinds[name], room[name])
            if len(claimed) == room[name]:
                self._full.add(name)
            for job in claimed:
                log.info("job_claimed", job=job.id, kind=job.kind, epoch=job.epoch, attempt=job.attempts)
                self.begin(job)

    def _lose(self, one: _Held) -> None:
        job = one.work.job
        if not (one.work.is_finished or one.task.done() or one.task.cancelling()):
            log.info("job_lost", job=job.id, kind=job.kind, epoch=job.epoch)
        _stop(one.task)

    async def _run(self, work: Work) -> None:
        pause = await Attempt(self._kinds[work.job.kind], work, store=self._store).run()
        if pause is not None:
            asyncio.get_running_loop().call_later(pause.total_seconds(), self.wake)

    def _forget(self, held: _Held) -> None:
        job = held.work.job
        self.tasks.discard(held.task)
        if self._held.get(job.id) is held:
            del self._held[job.id]
        if not held.task.cancelled() and (defect := held.task.exception()):
            log.error("job_run_failed", job=job.id, exc_info=defect)
        if job.kind in self._full:
            self.wake()


def _stop(task: asyncio.Task[None]) -> None:
    """Once: a second time would cut off the write by which the first is answered, or the undoing of one."""
    if not task.cancelling():
        task.cancel()
