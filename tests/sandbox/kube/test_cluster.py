"""The running cluster as a whole: what is collected, node ports, stops and starts."""

from pathlib import Path

import httpx
import pytest

from sandbox.kube.kinds import DEPLOYMENT, NAMESPACE, REPLICA_SET, SERVICE, SERVICE_ACCOUNT, STORED
from tests.sandbox.kube.live import IMAGE, Bench, deployment, image, running, service

pytestmark = pytest.mark.asyncio


async def test_deleting_collects_what_it_owns(bench: Bench) -> None:
    bench.deploy()
    await bench.rolled_out()
    bench.store.delete(DEPLOYMENT, "default", "web")
    await bench.until(lambda: not bench.pods() and not list(bench.store.all(REPLICA_SET)))


async def test_a_namespace_goes_with_all_in_it(bench: Bench) -> None:
    bench.store.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    await bench.until(lambda: bench.store.find(SERVICE_ACCOUNT, "team", "default"))
    made = deployment()
    made["metadata"]["namespace"] = "team"
    bench.store.create(DEPLOYMENT, made)
    await bench.until(bench.pods)
    bench.store.delete(NAMESPACE, None, "team")
    await bench.until(lambda: not any(list(bench.store.all(kind, "team")) for kind in STORED))


async def test_a_node_port_answers_while_a_pod_is_ready(bench: Bench) -> None:
    bench.store.create(SERVICE, service(32410))
    bench.deploy(replicas=2)
    await bench.rolled_out()
    urls = [f"http://{one['status']['hostIP']}:32410/any" for one in bench.pods()]
    async with httpx.AsyncClient(trust_env=False) as client:
        answers = [await client.get(url) for url in urls]
        posted = await client.post(urls[0], content=b"x" * 10_000)
        bench.change(lambda found: found["spec"].update(replicas=0))
        await bench.until(lambda: not bench.pods())
        await bench.rolled_out()
        with pytest.raises(httpx.ConnectError):
            await client.get(urls[0])
    told = [answer.json() for answer in answers]
    assert {one["namespace"] for one in told} == {"default"}
    assert {one["image"] for one in told} == {f"{IMAGE}:1"}
    assert posted.status_code == 200


async def test_a_cluster_ip_is_not_listened_on(bench: Bench) -> None:
    bench.store.create(SERVICE, service(32410, type="ClusterIP"))
    bench.deploy(replicas=1)
    await bench.rolled_out()
    [pod] = bench.pods()
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://{pod['status']['hostIP']}:32410/")


async def test_a_restart_keeps_the_cluster_and_goes_on(tmp_path: Path) -> None:
    async with running(tmp_path) as bench:
        bench.publish("1")
        bench.store.create(SERVICE, service(32410))
        bench.deploy()
        await bench.rolled_out()
        before = {one["metadata"]["uid"] for one in bench.pods()}
        bench.publish("2", image(version="2"))
    async with running(tmp_path) as bench:
        assert {one["metadata"]["uid"] for one in bench.pods()} == before
        assert bench.is_complete()
        bench.image_is("2")
        await bench.rolled_out()
        host = bench.pods()[0]["status"]["hostIP"]
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"http://{host}:32410/")).json()["image"] == f"{IMAGE}:2"


async def test_clusters_beside_each_other_can_have_the_same_node_port(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with running(tmp_path / "one") as one, running(tmp_path / "two") as two:
        hosts = []
        for bench in (one, two):
            bench.publish("1")
            bench.store.create(SERVICE, service(32410))
            bench.deploy(replicas=1)
            await bench.rolled_out()
            hosts.append(bench.pods()[0]["status"]["hostIP"])
        async with httpx.AsyncClient(trust_env=False) as client:
            told = [(await client.get(f"http://{host}:32410/")).json()["pod"] for host in hosts]
        assert told == [bench.pods()[0]["metadata"]["name"] for bench in (one, two)]


async def test_a_stop_amid_a_rollout_is_taken_up_again(tmp_path: Path) -> None:
    async with running(tmp_path) as bench:
        bench.publish("1")
        bench.deploy()
        await bench.until(bench.pods)
    async with running(tmp_path) as bench:
        await bench.rolled_out()


async def test_the_history_may_be_compacted_under_the_controllers(bench: Bench) -> None:
    bench.deploy()
    bench.store.forget_history()
    await bench.rolled_out()
