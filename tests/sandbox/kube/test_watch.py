"""Watches: what they show, where they begin, and how they end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import pytest_asyncio

from sandbox.kube.kinds import POD
from tests.sandbox.kube.api_server import CONFIG_MAPS, PODS, Cluster, changed, config_map, on_loopback, pod

pytestmark = pytest.mark.asyncio


class Watching:
    """The events of one watch, as they come."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()

    async def next(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(await anext(self._lines))
        return event

    async def name(self) -> tuple[str, str]:
        event = await self.next()
        return event["type"], event["object"]["metadata"]["name"]

    async def rest(self) -> list[dict[str, Any]]:
        return [json.loads(line) async for line in self._lines]


@pytest_asyncio.fixture
async def remote(cluster: Cluster) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the cluster over a socket, where answers come as they are written."""
    async with on_loopback(cluster.app) as url, httpx.AsyncClient(base_url=url) as client:
        yield client


@asynccontextmanager
async def watch(client: httpx.AsyncClient, path: str, **query: str) -> AsyncIterator[Watching]:
    async with client.stream("GET", path, params={"watch": "true", **query}) as response:
        assert response.status_code == 200
        yield Watching(response)


async def test_without_a_revision_it_begins_with_what_there_is(cluster: Cluster, remote: httpx.AsyncClient) -> None:
    await cluster.http.post(CONFIG_MAPS, json=config_map("old"))
    async with watch(remote, CONFIG_MAPS) as seen:
        assert await seen.name() == ("ADDED", "old")
        await cluster.http.post(CONFIG_MAPS, json=config_map("new"))
        assert await seen.name() == ("ADDED", "new")
        await cluster.patch(f"{CONFIG_MAPS}/old", {"data": {"a": "1"}})
        assert await seen.name() == ("MODIFIED", "old")
        await cluster.http.delete(f"{CONFIG_MAPS}/new")
        assert await seen.name() == ("DELETED", "new")


async def test_it_goes_on_after_a_revision(cluster: Cluster, remote: httpx.AsyncClient) -> None:
    await cluster.http.post(CONFIG_MAPS, json=config_map("old"))
    listed = (await cluster.http.get(CONFIG_MAPS)).json()["metadata"]["resourceVersion"]
    await cluster.http.post(CONFIG_MAPS, json=config_map("new"))
    async with watch(remote, CONFIG_MAPS, resourceVersion=listed) as seen:
        assert await seen.name() == ("ADDED", "new")


async def test_it_sees_its_own_kind_and_namespace_only(cluster: Cluster, remote: httpx.AsyncClient) -> None:
    async with watch(remote, PODS) as seen:
        await cluster.http.post(CONFIG_MAPS, json=config_map())
        cluster.store.create(POD, {**pod("far"), "metadata": {"name": "far", "namespace": "kube-system"}})
        await cluster.http.post(PODS, json=pod("near"))
        assert await seen.name() == ("ADDED", "near")


async def test_what_leaves_the_selector_is_deleted_and_what_enters_added(
    cluster: Cluster, remote: httpx.AsyncClient
) -> None:
    await cluster.http.post(PODS, json=pod("one", app="a"))
    async with watch(remote, PODS, labelSelector="app=a") as seen:
        assert await seen.name() == ("ADDED", "one")
        await cluster.patch(f"{PODS}/one", {"metadata": {"labels": {"app": "b"}}})
        assert await seen.name() == ("DELETED", "one")
        await cluster.patch(f"{PODS}/one", {"metadata": {"labels": {"other": "x"}}})
        await cluster.patch(f"{PODS}/one", {"metadata": {"labels": {"app": "a"}}})
        assert await seen.name() == ("ADDED", "one")


async def test_fields_select_too(cluster: Cluster, remote: httpx.AsyncClient) -> None:
    async with watch(remote, PODS, fieldSelector="metadata.name=two") as seen:
        for name in ("one", "two"):
            await cluster.http.post(PODS, json=pod(name))
        assert await seen.name() == ("ADDED", "two")


async def test_it_ends_after_its_time(cluster: Cluster, remote: httpx.AsyncClient) -> None:
    await cluster.http.post(CONFIG_MAPS, json=config_map())
    async with watch(remote, CONFIG_MAPS, timeoutSeconds="1") as seen:
        [only] = await seen.rest()
    assert only["type"] == "ADDED"


async def test_a_forgotten_revision_is_410(cluster: Cluster, remote: httpx.AsyncClient) -> None:
    made = (await cluster.http.post(CONFIG_MAPS, json=config_map())).json()
    version = made["metadata"]["resourceVersion"]
    await cluster.patch(f"{CONFIG_MAPS}/settings", {"data": {"a": "1"}})
    cluster.store.forget_history()
    gone = await remote.get(CONFIG_MAPS, params={"watch": "true", "resourceVersion": version})
    assert (gone.status_code, gone.json()["reason"]) == (410, "Expired")


async def test_a_watch_that_falls_behind_is_told_so(cluster: Cluster, remote: httpx.AsyncClient) -> None:
    async with watch(remote, CONFIG_MAPS) as seen:
        # One step of the loop: the change is made and forgotten before the watch can look.
        cluster.store.create(POD, changed(pod("far"), "metadata.namespace", "kube-system"))
        cluster.store.forget_history()
        [last] = await seen.rest()
    assert (last["type"], last["object"]["code"], last["object"]["reason"]) == ("ERROR", 410, "Expired")


async def test_it_ends_when_the_client_goes(cluster: Cluster, remote: httpx.AsyncClient) -> None:
    async with watch(remote, CONFIG_MAPS) as seen:
        await cluster.http.post(CONFIG_MAPS, json=config_map())
        await seen.next()
        [sending] = [one for one in asyncio.all_tasks() if "Watch._send" in repr(one.get_coro())]
    await asyncio.wait([sending])
    assert sending.cancelled()


async def test_a_watch_is_noted_when_it_begins(cluster: Cluster, remote: httpx.AsyncClient) -> None:
    async with watch(remote, CONFIG_MAPS, labelSelector="a=b"):
        [call] = cluster.calls.all()
    assert (call.operation, call.status, call.parameters["labelSelector"]) == ("WATCH configmaps", 200, "a=b")
