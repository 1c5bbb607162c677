"""A replica: the real services over a simulated database and network. It can be killed between any two steps."""

import asyncio
from collections.abc import Coroutine, Mapping
from contextvars import Context, ContextVar
from typing import Any

from service.base.db import Database
from service.base.settings import DeadlineSettings
from service.clients.aws.sessions import RegistryClients
from service.credentials.tokens import Tokens
from service.operations.documents import Documents
from service.operations.ledger import Ledger
from service.operations.operations import Operations
from service.operations.settlement import Settlement
from service.registry.images import Images
from service.registry.policies import REPOSITORY_POLICY
from service.registry.registries import Registries
from service.registry.repositories import Repositories

_current: ContextVar["Replica | None"] = ContextVar("replica", default=None)

DEADLINES = DeadlineSettings()
"""As they come: what is shown here is shown of the defaults."""


class Replica:
    ledger: type[Ledger] = Ledger
    operations_of: type[Operations] = Operations
    settlement_of: type[Settlement] = Settlement

    def __init__(self, *, database: Database, clients: Mapping[str, RegistryClients]) -> None:
        ledger = self.ledger(database=database, remember=DEADLINES.idempotency)
        self.operations = operations = self.operations_of(ledger=ledger)
        registries = Registries(clients=clients, default=next(iter(clients)))
        self.repositories = Repositories(registries=registries, operations=operations)
        self.images = Images(registries=registries, operations=operations)
        self.policies = Documents(REPOSITORY_POLICY, find=registries.find, operations=operations)
        self.tokens = Tokens(registries=registries, operations=operations)
        for area in (self.repositories, self.images, self.policies, self.tokens):
            operations.settles(area.settling)
        self.settlement = self.settlement_of(
            ledger=ledger,
            operations=operations,
            grace=DEADLINES.settle_grace,
            interval=DEADLINES.sweep_interval,
        )
        self.is_dead = False
        self.frozen_until = 0.0
        """As a process that is stopped: timers that pass meanwhile fire afterwards."""
        self.slept = 0.0
        """As a machine that is suspended: its timers don't count what it slept."""
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `work` and all that it starts as this replica's."""
        token = _current.set(self)
        try:
            return asyncio.get_running_loop().create_task(work)
        finally:
            _current.reset(token)

    def kill(self) -> None:
        """End all at once: from now on nothing of it reaches the database or AWS, whatever it does about its end."""
        self.is_dead = True
        for task in tuple(self._tasks):
            task.cancel()

    def freeze(self, now: float, seconds: float, *, is_suspended: bool) -> None:
        begins, self.frozen_until = max(now, self.frozen_until), max(now + seconds, self.frozen_until)
        if is_suspended:
            self.slept += self.frozen_until - begins

    def own(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def alive() -> None:
    """:raises asyncio.CancelledError: who asks is of a replica that was killed."""
    replica = _current.get()
    if replica is not None and replica.is_dead:
        raise asyncio.CancelledError


def frozen_until(context: Context) -> float:
    """When what has this context may go on: at once, unless its replica stands still."""
    replica = context.get(_current)
    return replica.frozen_until if replica else 0.0


def slept(context: Context) -> float:
    """How many seconds are missing in the time of what has this context."""
    replica = context.get(_current)
    return replica.slept if replica else 0.0


def owned_task(loop: asyncio.AbstractEventLoop, work: Any, **kwargs: Any) -> asyncio.Task[Any]:  # noqa: ANN401
    """A task factory: whatever a replica starts dies with it."""
    task = asyncio.Task(work, loop=loop, **kwargs)
    if replica := _current.get():
        replica.own(task)
    return task
