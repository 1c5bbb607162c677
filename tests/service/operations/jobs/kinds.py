"""A kind of work that does what a test tells it to."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from service.operations.calls import Json
from service.operations.jobs.jobs import Jobs
from service.operations.jobs.kinds import Kind
from service.operations.jobs.values import Job
from service.operations.jobs.work import Work

Run = Callable[[Work], Awaitable[Json | None]]


@dataclass(slots=True)
class Made:
    """Notes each run, and does what it is told to."""

    does: Run | None = None
    runs: list[Work] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, work: Work) -> Json | None:
        self.runs.append(work)
        self.begun.set()
        return await self.does(work) if self.does else {"done": True}


@dataclass(slots=True)
class Held:
    """Stays at work until it is let go, or for good."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, _: Work) -> Json:
        self.begun.set()
        await self.may_end.wait()
        return {}


async def ended(jobs: Jobs, job_id: str) -> Job:
    """The job, once it is over."""
    async with asyncio.timeout(20):
        while (job := await jobs.store.get(job_id)) is None or job.finished_at is None:
            await jobs.store.waiters.changed(job_id)
    return job


async def idle(jobs: Jobs) -> None:
    """Nothing is run there any more."""
    async with asyncio.timeout(20):
        await asyncio.gather(*jobs.runner.tasks, return_exceptions=True)


async def log_of(jobs: Jobs, job_id: str) -> Sequence[tuple[str, Json]]:
    return [(row.type, row.data) for row in await jobs.store.events(job_id, 0)]


def kind(run: Run, name: str = "made", **declared: object) -> Kind:
    return Kind(name, run, **declared)  # type: ignore[arg-type]
