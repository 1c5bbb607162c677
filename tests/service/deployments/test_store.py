"""Leases and fences of deployments on a real database: who may write to one, and who finds out that it is too late."""

from datetime import timedelta

import pytest

from service.access.actions import Action
from service.base.db import Database
from service.deployments.record import Place
from service.deployments.store import DeploymentStore, LostError
from service.models.deployments import DeploymentKind
from service.operations.ledger import Ledger
from tests.service.calls import intent, make_call

pytestmark = pytest.mark.asyncio
PLACE = Place("demo", "default", "myapp")
HELD, RUN_OUT = timedelta(hours=1), timedelta(seconds=-1)


def replica(database: Database, owner: str, lease: timedelta = HELD) -> DeploymentStore:
    return DeploymentStore(database=database, owner=owner, lease=lease)


async def accept(store: DeploymentStore, database: Database, ledger: Ledger) -> str:
    """A deployment that the replica holds the lease of; gives its id."""
    operation = await ledger.open(make_call(), intent(Action.DEPLOYMENT_CREATE))
    facts = {
        "id": operation,
        "kind": DeploymentKind.DEPLOY,
        "spec": {},
        "image": "myapp:1",
        "image_uri": "registry.test/myapp@sha256:0",
        "digest": "sha256:0",
        "checks": {},
        "actor": "caller-1",
        "actor_label": "ci",
        "request_id": "request-1",
    }
    async with database.write() as connection:
        await store.accept(connection, PLACE, facts)
    return operation


async def told(store: DeploymentStore, deployment: str) -> list[str]:
    return [event.type for event in await store.events(deployment, 0)]


async def test_what_a_replica_holds_is_nobody_elses(database: Database, ledger: Ledger) -> None:
    holder, other = replica(database, "holder"), replica(database, "other")
    made = await accept(holder, database, ledger)
    assert list(await other.claim()) == []
    assert list(await other.renew([made])) == []
    with pytest.raises(LostError):
        await other.note(made, "progress", {})
    await other.release([made])
    await holder.note(made, "progress", {})
    assert list(await holder.renew([made])) == [made]
    assert await told(holder, made) == ["accepted", "progress"]


async def test_what_nobody_renews_goes_to_another_and_the_one_who_had_it_writes_no_more(
    database: Database, ledger: Ledger
) -> None:
    paused, other = replica(database, "paused", RUN_OUT), replica(database, "other")
    made = await accept(paused, database, ledger)
    assert list(await other.claim()) == [made]
    assert list(await replica(database, "third").claim()) == []
    with pytest.raises(LostError):
        await paused.note(made, "progress", {}, status="failed")
    assert list(await paused.renew([made])) == []
    found = await other.get(made)
    assert found is not None
    assert found.status == "accepted"
    assert list(await other.renew([made])) == [made]
    assert await told(other, made) == ["accepted"]


async def test_what_is_released_is_taken_at_once(database: Database, ledger: Ledger) -> None:
    leaving, other = replica(database, "leaving"), replica(database, "other")
    made = await accept(leaving, database, ledger)
    await leaving.release([made])
    assert list(await other.claim()) == [made]


async def test_a_newer_one_ends_the_one_before_for_whoever_runs_it(database: Database, ledger: Ledger) -> None:
    store = replica(database, "holder")
    older, newer = [await accept(store, database, ledger) for _ in range(2)]
    with pytest.raises(LostError):
        await store.note(older, "progress", {})
    await store.note(newer, "progress", {})
    assert await told(store, older) == ["accepted", "superseded"]
    assert list(await replica(database, "other").claim()) == []


async def test_one_that_is_cancelled_is_written_to_no_more(database: Database, ledger: Ledger) -> None:
    store = replica(database, "holder")
    made = await accept(store, database, ledger)
    async with database.write() as connection:
        assert await replica(database, "other").cancel(connection, made)
    with pytest.raises(LostError):
        await store.note(made, "progress", {})
    async with database.write() as connection:
        assert not await store.cancel(connection, made)
    assert await told(store, made) == ["accepted", "cancelled"]
