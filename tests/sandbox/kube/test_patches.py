"""Patches of three kinds."""

from collections.abc import AsyncIterator

import pytest

from tests.sandbox.kube.api_server import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    SERVICES,
    Cluster,
    config_map,
    deployment,
    service,
)

pytestmark = pytest.mark.asyncio


async def test_patches_of_three_kinds(cluster: Cluster) -> None:
    await cluster.http.post(DEPLOYMENTS, json=deployment())
    at = f"{DEPLOYMENTS}/app"
    merged = await cluster.patch(at, {"spec": {"replicas": 2}})
    assert (merged.json()["spec"]["replicas"], merged.json()["metadata"]["generation"]) == (2, 2)
    container = {"name": "c", "image": "registry.test/app:2"}
    joined = await cluster.patch(at, {"spec": {"template": {"spec": {"containers": [container]}}}}, "strategic-merge")
    assert joined.json()["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert joined.json()["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.test/app:2"
    stepped = await cluster.patch(
        at,
        [{"op": "test", "path": "/spec/replicas", "value": 2}, {"op": "replace", "path": "/spec/replicas", "value": 3}],
        "json",
    )
    assert stepped.json()["spec"]["replicas"] == 3
    failed = await cluster.patch(at, [{"op": "test", "path": "/spec/replicas", "value": 2}], "json")
    assert failed.status_code == 422


async def test_a_patch_is_laid_over_what_is_there_once_all_of_it_has_come(cluster: Cluster) -> None:
    await cluster.http.post(CONFIG_MAPS, json=config_map(a="1"))
    at = f"{CONFIG_MAPS}/settings"

    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"data": {'
        await cluster.patch(at, {"data": {"b": "2"}})
        yield b'"c": "3"}}'

    patched = await cluster.http.patch(at, content=slowly(), headers={"Content-Type": "application/merge-patch+json"})
    assert (patched.status_code, patched.json()["data"]) == (200, {"a": "1", "b": "2", "c": "3"})


async def test_a_patch_must_say_of_which_kind_it_is(cluster: Cluster) -> None:
    await cluster.http.post(CONFIG_MAPS, json=config_map())
    refused = await cluster.http.patch(f"{CONFIG_MAPS}/settings", json={"data": {"a": "1"}})
    assert (refused.status_code, refused.json()["reason"]) == (415, "UnsupportedMediaType")


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("json", {"op": "add"}),
        ("json", ["add"]),
        ("json", [{"op": "remove", "path": "/none"}]),
        ("json", [{"op": "add", "path": "/metadata/labels/x/y/z", "value": 1}]),
        ("json", [{"op": "test", "path": "/metadata/name", "value": "other"}]),
        ("json", [{"op": "nothing", "path": "/metadata"}]),
        ("strategic-merge", {"spec": {"ports": [1]}}),
    ],
)
async def test_a_patch_that_is_none_changes_nothing(cluster: Cluster, kind: str, patch: object) -> None:
    made = (await cluster.http.post(SERVICES, json=service())).json()
    assert (await cluster.patch(f"{SERVICES}/app", patch, kind)).status_code in (400, 422)
    assert (await cluster.http.get(f"{SERVICES}/app")).json() == made


@pytest.mark.parametrize("kind", ["merge", "strategic-merge"])
async def test_what_a_patch_empties_is_as_if_it_had_never_been(cluster: Cluster, kind: str) -> None:
    made = (await cluster.http.post(DEPLOYMENTS, json=deployment())).json()
    nothing = {
        "metadata": {"annotations": {"a": None}, "labels": {}},
        "spec": {"nodeSelector": {"a": None}, "volumes": [], "tolerations": None},
    }
    patched = (await cluster.patch(f"{DEPLOYMENTS}/app", {"spec": {"template": nothing}}, kind)).json()
    assert patched["spec"] == made["spec"]
    assert patched["metadata"]["generation"] == 1
