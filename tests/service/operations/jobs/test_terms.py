"""Terms: a worker whose lease has ended sends nothing of what a step asks for, until its lease is renewed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
import pytest_asyncio
from sqlalchemy import select

from sandbox.server import Sandbox
from service.access.actions import Step
from service.base.clock import running
from service.base.db import Database
from service.base.errors import DeadlineError, PartialError
from service.base.settings import DeadlineSettings, RegistrySettings
from service.base.tables import jobs as job_rows
from service.clients.aws.sessions import Aws, RegistryClients
from service.models.jobs import JobState
from service.operations.calls import Json
from service.operations.jobs.work import Work
from tests.service.conftest import Rows
from tests.service.machine import Machine
from tests.service.operations.jobs.conftest import Accept, Forsake, MakeReplica
from tests.service.operations.jobs.kinds import Held, Made, ended, idle, kind

pytestmark = pytest.mark.asyncio

LONG = timedelta(minutes=1)


@pytest.fixture
def machine() -> Iterator[Machine]:
    """On which the replicas run."""
    made = Machine()
    with running(made.boot()):
        yield made


@pytest_asyncio.fixture
async def clients(registries: tuple[RegistrySettings, ...]) -> AsyncIterator[RegistryClients]:
    aws = Aws(registries, DeadlineSettings())
    yield (await aws.open())["local"]
    await aws.close()


@dataclass(slots=True)
class Making:
    """Makes a repository by a step, as soon as it may."""

    clients: RegistryClients
    may_go: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    is_partial: bool = False
    """Whether it says of what was held back that a part is done, which is no error to try again."""

    async def __call__(self, work: Work) -> Json:
        return await work.step(Step.APPLY_SERVICE, {}, self._act, within=LONG)

    async def _act(self) -> Json:
        self.begun.set()
        await self.may_go.wait()
        try:
            await self.clients.ecr.create_repository(repositoryName="made")
        except DeadlineError as error:
            if self.is_partial:
                raise PartialError(["another"], error) from error
            raise
        finally:
            self.asked.set()
        return {"made": True}


def creations(aws: Sandbox) -> int:
    return [call.operation for call in aws.calls()].count("CreateRepository")


async def test_a_worker_whose_lease_ended_amid_a_step_sends_nothing_and_who_takes_over_does_it_once(  # noqa: PLR0917 - fixtures
    replica: MakeReplica,
    accept: Accept,
    forsake: Forsake,
    rows: Rows,
    clients: RegistryClients,
    aws: Sandbox,
    machine: Machine,
) -> None:
    slow, taking = Making(clients), Making(clients)
    first, second = replica(kind(slow), is_working=False), replica(kind(taking), is_working=False)
    job_id = (await accept(first)).job.id
    await first.runner.claim()
    await slow.begun.wait()
    machine.wait(LONG)
    await forsake(job_id)
    slow.may_go.set()
    await slow.asked.wait()
    assert creations(aws) == 0
    await second.runner.claim()
    taking.may_go.set()
    job = await ended(second, job_id)
    await idle(first)
    assert (job.state, job.epoch, creations(aws)) == (JobState.SUCCEEDED, 2, 1)
    [_, child] = await rows()
    assert (child["status"], child["result"]) == ("succeeded", {"made": True})


@pytest.mark.parametrize("is_partial", [False, True])
async def test_a_lease_that_is_renewed_late_lets_the_step_go_on(  # noqa: PLR0917 - fixtures
    replica: MakeReplica,
    accept: Accept,
    rows: Rows,
    clients: RegistryClients,
    aws: Sandbox,
    machine: Machine,
    *,
    is_partial: bool,
) -> None:
    slow = Making(clients, is_partial=is_partial)
    jobs = replica(kind(slow), is_working=False)
    job_id = (await accept(jobs)).job.id
    await jobs.runner.claim()
    await slow.begun.wait()
    machine.wait(LONG)
    slow.may_go.set()
    await slow.asked.wait()
    assert creations(aws) == 0
    await jobs.runner.renew()
    job = await ended(jobs, job_id)
    assert (job.state, job.epoch, job.attempts, creations(aws)) == (JobState.SUCCEEDED, 1, 1, 1)
    assert [row["status"] for row in await rows()] == ["succeeded", "succeeded"]


async def test_a_term_ends_before_the_lease_does_however_it_was_got(
    replica: MakeReplica, accept: Accept, forsake: Forsake, database: Database
) -> None:
    made = Made(Held())
    working, other = replica(kind(made)), replica(kind(made), is_working=False)

    async def lease_until() -> datetime:
        [row] = await database.fetch(select(job_rows.c.lease_until))
        until: datetime = row.lease_until
        return until

    born = (await accept(working)).job
    assert born.term.until <= await lease_until()
    await working.runner.close()
    await other.runner.claim()
    [claimed] = other.runner.held
    assert claimed.term.until <= await lease_until()
    before = claimed.term.until
    await other.runner.renew()
    assert before < claimed.term.until <= await lease_until()
    before = claimed.term.until
    await forsake(claimed.id)
    await working._claims.claim(working.kinds["made"], 1)
    await other.runner.renew()
    assert claimed.term.until == before
