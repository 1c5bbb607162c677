"""Plays a plan on the real services, and hands what happened to the oracle."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from service.access.actions import Role
from service.access.authz import Binding, Caller
from service.base.deadlines import Deadline, bounded
from service.base.errors import DatabaseError, DeadlineError, WharfingerError
from service.base.settings import RegistrySettings
from service.clients.aws.sessions import Aws, RegistryClients
from service.models.images import ImageTagging
from service.models.references import Reference
from service.models.repositories import RepositoryCreate, RepositoryUpdate
from service.models.tokens import TokenRequest
from service.operations.calls import Call, Done
from tests.simulation.aws_model import ACCOUNT, REGION
from tests.simulation.database import SimulatedDatabase, Store
from tests.simulation.faults import LATEST, Faults
from tests.simulation.network import Network
from tests.simulation.plan import APP, TAG, Ask, Crash, Event, Freeze, Outside, Plan, Sweep
from tests.simulation.replica import DEADLINES, Replica, frozen_until, owned_task, slept
from tests.simulation.virtual_time import VirtualLoop, clock_of
from tests.simulation.world import World, asking

CALLER = Caller("caller-1", "ci", (Binding(role=Role.ADMIN),))
REPLICAS = 2
_CALM_SWEEPS = 12
_SWEEP_SECONDS = 20.0
_CAPACITY = 500
"""Of botocore's retry quota, as it begins."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a caller was told, and when; `error` None: it was done."""

    ask: Ask
    at: float
    error: WharfingerError | None
    done: Done[object] | None


@dataclass(slots=True)
class Played:
    """A history: what there was to see of it at its end."""

    plan: Plan
    world: World
    answers: list[Answered] = field(default_factory=list)
    unanswered: list[Ask] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    """What no service may raise."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    """The keys that are still held, with their operations."""


class _Network(Network):
    store: Store

    def is_open(self, operation_id: str) -> bool:
        query = "SELECT 1 FROM operations WHERE id = ? AND completed_at IS NULL"
        return bool(self.store.rows(query, operation_id))


class Driver:
    """Plays one history after another; the clients and the tables' template are made once, as they are slow to make."""

    def __init__(self) -> None:
        self._network = _Network()
        self._network.store = self._store = Store()
        self._opened: list[Any] = []
        self._clients = asyncio.run(self._open_clients())

    def play(self, plan: Plan, made_of: type[Replica] = Replica) -> Played:
        faults = Faults(plan.seed, plan.fault_rate, plan.read_fault_rate, plan.until, plan.calm)
        loop = VirtualLoop(frozen_until, slept)
        world = World(loop, faults, plan.start)
        self._network.world = world
        self._store.reset()
        self._restore_quota()
        random.seed(plan.seed)  # botocore's and stamina's jitter
        try:
            loop.set_task_factory(owned_task)
            history = _History(plan, world, lambda: self._replica(world, made_of), self._store)
            with clock_of(loop):
                return loop.run_until_complete(history.play())
        finally:
            loop.close()

    def _replica(self, world: World, made_of: type[Replica]) -> Replica:
        return made_of(database=SimulatedDatabase(self._store, world), clients=self._clients)

    async def _open_clients(self) -> dict[str, RegistryClients]:
        registry = RegistrySettings(
            name="local", account_id=ACCOUNT, region=REGION, broker_role=f"arn:aws:iam::{ACCOUNT}:role/broker"
        )
        aws = Aws((registry,), DEADLINES)
        aws._config.http_session_cls = self._network.session()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", "simulated")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "simulated")
            clients = await aws.open()
            for one in clients.values():
                self._opened += [one.ecr, await one.sts.get(), await one.lent_ecr.get()]
            return clients

    def _restore_quota(self) -> None:
        for client in self._opened:
            service = client.meta.service_model.service_id.hyphenize()
            for handler in _emitter_of(client)._handlers.prefix_search(f"needs-retry.{service}"):
                quota = getattr(getattr(handler, "__self__", None), "_retry_quota", None)
                if quota is not None:
                    quota._quota._available_capacity = _CAPACITY


def _emitter_of(client: Any) -> Any:  # noqa: ANN401 - botocore has no types
    """What holds the handlers, below the layers that translate the names of events."""
    emitter = client.meta.events
    while hasattr(emitter, "_emitter"):
        emitter = emitter._emitter
    return emitter


class _History:
    def __init__(self, plan: Plan, world: World, replica: Callable[[], Replica], store: Store) -> None:
        self._world, self._store, self._replica = world, store, replica
        self._played = Played(plan, world)
        self._replicas = [self._replica() for _ in range(REPLICAS)]
        self._callers: set[asyncio.Task[None]] = set()
        self._waiting: list[Ask] = []

    async def play(self) -> Played:
        for event in self._played.plan.events:
            await asyncio.sleep(event.at - self._world.loop.now)
            self._begin(event)
        await self._calm_down()
        self._played.rows = self._store.rows("SELECT * FROM operations ORDER BY id")
        held = self._store.rows("SELECT key, operation_id FROM idempotency_keys")
        self._played.keys = {row["key"]: row["operation_id"] for row in held}
        return self._played

    def _begin(self, event: Event) -> None:
        match event:
            case Ask():
                self._callers.add(asyncio.create_task(self._ask(event)))
            case Outside():
                self._world.outsider(event.call, event.asked)
            case Crash():
                self._world.note("killed; another takes its place", f"replica {event.replica}")
                self._replicas[event.replica].kill()
                self._replicas[event.replica] = self._replica()
            case Freeze():
                self._world.note(str(event), f"replica {event.replica}")
                now = self._world.loop.now
                self._replicas[event.replica].freeze(now, event.seconds, is_suspended=event.is_suspended)
            case Sweep():
                self._sweep(event.replica)

    def _sweep(self, number: int) -> asyncio.Task[Any]:
        asking.set(f"sweep {self._world.loop.now:.0f}s")
        replica = self._replicas[number]
        return replica.start(self._watch(replica))

    async def _watch(self, replica: Replica) -> None:
        """As the sweep's own loop: what goes wrong is tried again at the next beat."""
        try:
            await replica.settlement.sweep()
        except DatabaseError:
            self._world.note("is postponed")
        except Exception as defect:  # noqa: BLE001 - told as such
            self._played.defects.append(repr(defect))

    async def _calm_down(self) -> None:
        """Faults have stopped: what is under way ends, and sweeps give every row its outcome."""
        await asyncio.sleep(max(0.0, self._played.plan.until - self._world.loop.now) + LATEST)
        for number in range(_CALM_SWEEPS):
            if not self._waiting and not self._store.rows("SELECT 1 FROM operations WHERE completed_at IS NULL"):
                break
            await asyncio.sleep(_SWEEP_SECONDS)
            await self._sweep(number % REPLICAS)
        self._played.unanswered = list(self._waiting)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _ask(self, ask: Ask) -> None:
        asking.set(ask.name)
        self._world.note(str(ask))
        self._waiting.append(ask)
        work = self._replicas[ask.replica].start(_handle(self._world, self._replicas[ask.replica], ask))
        try:
            done, error = await work, None
        except WharfingerError as refusal:
            done, error = None, refusal
        except asyncio.CancelledError:
            self._world.note("gets no answer: the connection is gone")
            return
        except Exception as defect:  # noqa: BLE001 - told as such
            self._played.defects.append(repr(defect))
            return
        finally:
            self._waiting.remove(ask)
        self._played.answers.append(Answered(ask, self._world.loop.now, error, done))
        self._world.note(_told(done, error))


def _told(done: Done[object] | None, error: WharfingerError | None) -> str:
    if error:
        return f"is told {error.code}: {error.detail}"
    assert done
    return f"is told that operation {done.operation_id} did it" + (" before" if done.is_replayed else "")


async def _handle(world: World, replica: Replica, ask: Ask) -> Done[object]:
    """As the route does: in its time, which begins once the replica takes it up."""
    deadline = Deadline.after(DEADLINES.request)
    world.deadlines[ask.name] = world.loop.now + DEADLINES.request.total_seconds()
    call = Call(
        caller=CALLER,
        request_id=ask.name,
        deadline=deadline,
        fingerprint=f"{ask.kind} {ask.params}",
        idempotency_key=ask.key,
    )
    try:
        async with bounded(deadline):
            return await _perform(replica, call, ask)
    except TimeoutError as error:
        raise DeadlineError("The request's time was up, and nothing was changed.") from error


async def _perform(replica: Replica, call: Call, ask: Ask) -> Done[object]:  # noqa: PLR0911 - a table of kinds
    params = ask.params
    match ask.kind:
        case "create":
            return await replica.repositories.create(call, None, RepositoryCreate(name=APP))
        case "update":
            return await replica.repositories.update(call, None, APP, RepositoryUpdate.model_validate(params))
        case "delete":
            return await replica.repositories.delete(call, None, APP, force=params["force"])
        case "tag":
            return await replica.images.tag(
                call, None, Reference(APP, TAG, None), ImageTagging(source=params["source"])
            )
        case "untag":
            return await replica.images.delete(call, None, Reference(APP, TAG, None))
        case "delete_image":
            return await replica.images.delete(call, None, Reference(APP, None, params["digest"]))
        case "put_policy":
            return await replica.policies.put(call, None, APP, params["policy"].encode())
        case "delete_policy":
            return await replica.policies.delete(call, None, APP)
    asked = TokenRequest.model_validate({"repositories": [APP], "actions": ["pull"]})
    return await replica.tokens.vend(call, None, asked)
