"""The cluster's controllers and nodes, by the objects that they leave; each waits for a change and none for a time."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from sandbox.calls import Calls
from sandbox.ecr import images, repositories
from sandbox.ecr.registry import Registry
from sandbox.faults import Faults
from sandbox.identities import Identities
from sandbox.image_writer import Image, ImageConfig, Index, Platform, build_image, build_index, build_layer
from sandbox.kube.cluster import Cluster
from sandbox.kube.conditions import condition, is_true
from sandbox.kube.kinds import (
    DEPLOYMENT,
    EVENT,
    NAMESPACE,
    NODE,
    POD,
    REPLICA_SET,
    RESOURCE_QUOTA,
    SERVICE,
    SERVICE_ACCOUNT,
    STORED,
    Kind,
)
from sandbox.kube.store import Object, Store
from sandbox.places import MAIN_ACCOUNT, MAIN_REGION, Hosts, Place
from sandbox.state import State

pytestmark = pytest.mark.asyncio

_PLACE = Place(MAIN_ACCOUNT, MAIN_REGION)
_HOSTS = Hosts({_PLACE: 5000})
_IMAGE = f"{_HOSTS.of(_PLACE)}/app"
_PATIENCE = 20.0
"""Seconds after which a test fails that waits for what does not come."""

Check = Callable[[], Any]


class Bench:
    """A running cluster of which the test sees the store."""

    def __init__(self, state: State, store: Store) -> None:
        self.store = store
        self.registry = Registry(state, _PLACE, _HOSTS.of(_PLACE))

    async def until(self, check: Check) -> Any:  # noqa: ANN401 - gives what the check gives
        """Look again after each change until the check gives something."""
        async with asyncio.timeout(_PATIENCE):
            if found := check():
                return found
            async for _ in self.store.watch(self.store.revision):
                if found := check():
                    return found
        raise AssertionError("a watch does not end")

    def publish(self, tag: str, target: Image | Index | None = None) -> None:
        """Have an image in the registry, as a push does."""
        target = target or image()
        name = "app"
        if not self.registry.state.one("SELECT 1 FROM repositories WHERE name = ?", name):
            repositories.create_repository(self.registry, {"repositoryName": name})
        repository = self.registry.repository(name)
        for one in target.images if isinstance(target, Index) else (target,):
            for blob in one.blobs:
                self.registry.state.blob(blob.digest).write_bytes(blob.content)
                self.registry.state.sql.execute(
                    "INSERT OR REPLACE INTO layers VALUES (?, ?, ?)", (repository["id"], blob.digest, len(blob.content))
                )
            self._store_manifest(one.manifest.content, tag=None if one is not target else tag)
        if isinstance(target, Index):
            self._store_manifest(target.manifest.content, tag=tag)

    def _store_manifest(self, content: bytes, *, tag: str | None) -> None:
        repository = self.registry.repository("app")
        images.store(self.registry, repository, content, media_type=None, tag=tag, digest=None)

    def deploy(self, **changes: Any) -> Object:  # noqa: ANN401 - fields of a spec
        return self.store.create(DEPLOYMENT, deployment(**changes))

    def change(self, change: Callable[[Object], object], kind: Kind = DEPLOYMENT, name: str = "web") -> None:
        """As an update of a spec by the API does."""
        found = self.store.get(kind, "default", name)
        change(found)
        found["metadata"]["generation"] = found["metadata"].get("generation", 1) + 1
        self.store.replace(kind, found)

    def image_is(self, tag: str) -> None:
        self.change(lambda found: _container(found).update(image=f"{_IMAGE}:{tag}"))

    def deployment(self) -> Object:
        return self.store.get(DEPLOYMENT, "default", "web")

    def pods(self) -> list[Object]:
        return list(self.store.all(POD))

    def is_complete(self) -> bool:
        """As `kubectl rollout status` decides it."""
        found = self.deployment()
        status, replicas = found.get("status", {}), found["spec"]["replicas"]
        counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
        return status.get("observedGeneration", 0) >= found["metadata"]["generation"] and counts == [replicas] * 3

    async def rolled_out(self) -> None:
        await self.until(self.is_complete)

    async def waiting(self, reason: str) -> Object:
        """The first container status that waits for a reason."""
        found: Object = await self.until(
            lambda: next(
                (one for one in self._statuses() if one["state"].get("waiting", {}).get("reason") == reason), 0
            )
        )
        return found

    async def failed(self, kind: str, reason: str) -> Object:
        """The Deployment's condition, once it has come to that."""

        def check() -> Object | None:
            found = condition(self.deployment().get("status", {}), kind)
            return found if found and found["reason"] == reason else None

        found: Object = await self.until(check)
        return found

    def _statuses(self) -> list[Object]:
        return [one for pod in self.pods() for one in pod["status"].get("containerStatuses", ())]


def image(platform: Platform | None = None, **environment: str) -> Image:
    config = ImageConfig(platform=platform or Platform(), env=environment)
    return build_image([build_layer({"/a": json.dumps(environment).encode()})], config)


def deployment(**changes: Any) -> Object:  # noqa: ANN401 - fields of a spec
    container = {"name": "c", "image": f"{_IMAGE}:1", **changes.pop("container", {})}
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [container], **changes.pop("pod", {})},
    }
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template, **changes}
    metadata = {"name": "web", "namespace": "default", "generation": 1}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def service(port: int, **changes: Any) -> Object:  # noqa: ANN401 - fields of a spec
    ports = [{"port": 80, "protocol": "TCP", "nodePort": port}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": ports, **changes},
    }


def _container(found: Object) -> Object:
    container: Object = found["spec"]["template"]["spec"]["containers"][0]
    return container


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Bench]:
    """A cluster of a folder, from its start to its stop."""
    state = State(folder)
    cluster = Cluster(folder, state=state, identities=Identities(state), hosts=_HOSTS, calls=Calls(), faults=Faults())
    task = asyncio.create_task(cluster.run())
    try:
        yield Bench(state, cluster._store)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        state.close()


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A cluster whose registry has `app:1` and `app:2`."""
    async with running(tmp_path) as bench:
        bench.publish("1")
        bench.publish("2", image(version="2"))
        yield bench


async def test_a_rollout_ends_with_ready_pods(bench: Bench) -> None:
    bench.deploy(replicas=3)
    await bench.rolled_out()
    [replica_set] = bench.store.all(REPLICA_SET)
    pods, status = bench.pods(), bench.deployment()["status"]
    hashed = replica_set["metadata"]["labels"]["pod-template-hash"]
    assert replica_set["metadata"]["name"] == f"web-{hashed}"
    assert replica_set["metadata"]["ownerReferences"][0]["uid"] == bench.deployment()["metadata"]["uid"]
    assert bench.deployment()["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    assert is_true(status["conditions"], "Available")
    assert condition(status, "Progressing")["reason"] == "NewReplicaSetAvailable"  # type: ignore[index] # it is there
    assert "unavailableReplicas" not in status
    assert len(pods) == 3
    hosts = {one["status"]["hostIP"] for one in pods}
    assert hosts == {node["status"]["addresses"][0]["address"] for node in bench.store.all(NODE)}
    digest = images.find(bench.registry, bench.registry.repository("app"), "1")["digest"]  # type: ignore[index] # as above
    for pod in pods:
        assert pod["metadata"]["labels"] == {"app": "web", "pod-template-hash": hashed}
        assert pod["metadata"]["name"].startswith(f"web-{hashed}-")
        assert pod["status"]["phase"] == "Running"
        assert pod["status"]["podIP"].startswith("10.244.")
        [container] = pod["status"]["containerStatuses"]
        assert container["imageID"] == f"{_IMAGE}@{digest}"
        assert container["ready"]
        assert container["restartCount"] == 0


async def test_a_rolling_update_keeps_enough_pods(bench: Bench) -> None:
    bench.deploy(replicas=4, strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
    await bench.rolled_out()
    counts: list[tuple[int, int]] = []

    def check() -> bool:
        pods = bench.pods()
        counts.append((len(pods), sum(is_true(one["status"].get("conditions"), "Ready") for one in pods)))
        return bench.is_complete()

    bench.image_is("2")
    await bench.until(check)
    assert max(total for total, _ in counts) == 5
    assert min(ready for _, ready in counts) == 4
    assert {_container({"spec": {"template": one}})["image"] for one in bench.pods()} == {f"{_IMAGE}:2"}
    old, new = sorted(bench.store.all(REPLICA_SET), key=lambda one: int(one["metadata"]["resourceVersion"]))
    sizes = {one["spec"]["replicas"] for one in (old, new)}
    assert sizes == {0, 4}
    assert bench.deployment()["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"


async def test_an_earlier_template_is_its_replica_set_again(bench: Bench) -> None:
    bench.deploy()
    await bench.rolled_out()
    [first] = bench.store.all(REPLICA_SET)
    bench.image_is("2")
    await bench.rolled_out()
    bench.image_is("1")
    await bench.rolled_out()
    again = bench.store.get(REPLICA_SET, "default", first["metadata"]["name"])
    assert len(list(bench.store.all(REPLICA_SET))) == 2
    assert again["spec"]["replicas"] == 2
    assert again["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"


async def test_history_is_limited(bench: Bench) -> None:
    bench.deploy(revisionHistoryLimit=1)
    await bench.rolled_out()
    for port in (1, 2, 3):
        bench.change(lambda found, port=port: _container(found).update(ports=[{"containerPort": port}]))  # type: ignore[misc] # the loop's value now
        await bench.rolled_out()
    await bench.until(lambda: len(list(bench.store.all(REPLICA_SET))) == 2)


async def test_recreate_ends_the_old_before_the_new(bench: Bench) -> None:
    bench.deploy(strategy={"type": "Recreate"})
    await bench.rolled_out()
    tags: list[set[str]] = []

    def check() -> bool:
        tags.append({one["spec"]["containers"][0]["image"] for one in bench.pods()})
        return bench.is_complete()

    bench.image_is("2")
    await bench.until(check)
    assert {f"{_IMAGE}:1", f"{_IMAGE}:2"} not in tags
    assert tags[-1] == {f"{_IMAGE}:2"}


async def test_a_bad_image_says_so_and_the_old_pods_stay(bench: Bench) -> None:
    bench.deploy()
    await bench.rolled_out()
    bench.image_is("nothing")
    state = (await bench.waiting("ImagePullBackOff"))["state"]["waiting"]
    assert state["message"].startswith(f'Back-off pulling image "{_IMAGE}:nothing": ErrImagePull: rpc error: ')
    assert state["message"].endswith(f"{_IMAGE}:nothing: not found")
    assert bench.deployment()["status"]["availableReplicas"] == 2
    assert bench.deployment()["status"]["updatedReplicas"] == 1
    bench.image_is("2")
    await bench.rolled_out()


@pytest.mark.parametrize(
    ("reference", "reason", "words"),
    [
        (f"{_IMAGE}:arm", "ErrImagePull", "no match for platform in manifest"),
        (f"{_IMAGE}:arms", "ErrImagePull", "no match for platform in manifest"),
        (f"{_HOSTS.of(_PLACE)}/other:1", "ErrImagePull", "not found"),
        ("docker.io/library/nginx:1", "ErrImagePull", "no such host"),
        ("UPPER:1", "InvalidImageName", "couldn't parse image name"),
    ],
)
async def test_what_cannot_be_pulled(bench: Bench, reference: str, reason: str, words: str) -> None:
    arm = image(Platform("arm64"))
    bench.publish("arm", arm)
    bench.publish("arms", build_index([arm]))
    bench.deploy(replicas=1, container={"image": reference})
    waiting = (await bench.waiting(reason))["state"]["waiting"]
    assert words in waiting["message"]


async def test_an_index_with_the_nodes_platform_runs(bench: Bench) -> None:
    bench.publish("both", build_index([image(Platform("arm64")), image()]))
    bench.deploy(container={"image": f"{_IMAGE}:both"})
    await bench.rolled_out()


async def test_a_crash_loop_has_the_last_words(bench: Bench) -> None:
    bench.publish("broken", image(SANDBOX_EXIT="3 no database"))
    bench.deploy(
        replicas=1,
        container={"image": f"{_IMAGE}:broken", "terminationMessagePolicy": "FallbackToLogsOnError"},
    )
    status = await bench.waiting("CrashLoopBackOff")
    [pod] = bench.pods()
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    wanted = f"back-off 10s restarting failed container=c pod={name}_default({uid})"
    assert status["state"]["waiting"]["message"] == wanted
    ended = status["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (3, "Error", "no database")
    assert status["restartCount"] == 1
    assert not status["ready"]


async def test_last_words_show_only_where_they_are_asked_for(bench: Bench) -> None:
    environment = [{"name": "SANDBOX_EXIT", "value": "1 a secret"}]
    bench.deploy(replicas=1, container={"env": environment})
    status = await bench.waiting("CrashLoopBackOff")
    assert "message" not in status["lastState"]["terminated"]


@pytest.mark.parametrize(("code", "phase"), [("0", "Succeeded"), ("1", "Failed")])
async def test_what_runs_once_ends(bench: Bench, code: str, phase: str) -> None:
    container = {"name": "c", "image": f"{_IMAGE}:1", "env": [{"name": "SANDBOX_EXIT", "value": code}]}
    metadata = {"name": "once", "namespace": "default"}
    spec = {"containers": [container], "restartPolicy": "Never"}
    bench.store.create(POD, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {}})
    await bench.until(lambda: bench.store.get(POD, "default", "once")["status"].get("phase") == phase)


async def test_a_pod_that_fits_nowhere_is_told_why_and_placed_when_there_is_room(bench: Bench) -> None:
    bench.deploy(replicas=1, container={"resources": {"requests": {"cpu": "15"}}})
    await bench.rolled_out()
    bench.change(lambda found: found["spec"].update(replicas=3))
    refused = await bench.until(lambda: [one for one in map(_unscheduled, bench.pods()) if one])
    assert refused[0]["reason"] == "Unschedulable"
    assert refused[0]["message"] == (
        "0/2 nodes are available: 2 Insufficient cpu. "
        "preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod."
    )
    placed = next(one for one in bench.pods() if one["spec"].get("nodeName"))
    bench.store.delete(POD, "default", placed["metadata"]["name"])
    await bench.until(lambda: bench.deployment()["status"].get("availableReplicas") == 2)


async def test_a_selector_that_no_node_has(bench: Bench) -> None:
    bench.deploy(replicas=1, pod={"nodeSelector": {"disk": "ssd"}})
    refused = await bench.until(lambda: [one for one in map(_unscheduled, bench.pods()) if one])
    assert refused[0]["message"].startswith(
        "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."
    )


def _unscheduled(pod: Object) -> Object | None:
    found = condition(pod.get("status", {}), "PodScheduled")
    return found if found and found["status"] == "False" else None


async def test_a_quota_refuses_pods_until_it_is_raised(bench: Bench) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": "default"},
        "spec": {"hard": {"pods": "1"}},
    }
    bench.store.create(RESOURCE_QUOTA, quota)
    bench.deploy(replicas=2)
    failure = await bench.failed("ReplicaFailure", "FailedCreate")
    assert failure["message"].startswith('pods "web-')
    assert failure["message"].endswith(
        '" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1'
    )
    bench.change(lambda found: found["spec"].update(hard={"pods": "2"}), RESOURCE_QUOTA, "small")
    await bench.rolled_out()
    assert condition(bench.deployment()["status"], "ReplicaFailure") is None


async def test_a_quota_of_amounts_wants_them_stated(bench: Bench) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": "default"},
        "spec": {"hard": {"requests.cpu": "1", "limits.memory": "1Gi"}},
    }
    bench.store.create(RESOURCE_QUOTA, quota)
    bench.deploy(replicas=1)
    unstated = await bench.failed("ReplicaFailure", "FailedCreate")
    assert unstated["message"].endswith("failed quota: small: must specify limits.memory for: c; requests.cpu for: c")
    resources = {"requests": {"cpu": "600m"}, "limits": {"memory": "256Mi"}}
    bench.change(lambda found: _container(found).update(resources=resources))
    await bench.rolled_out()
    bench.change(lambda found: found["spec"].update(replicas=2))
    exceeded = await bench.failed("ReplicaFailure", "FailedCreate")
    assert "requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1" in exceeded["message"]


async def test_pod_security_names_what_it_misses(bench: Bench) -> None:
    namespace = bench.store.get(NAMESPACE, None, "default")
    namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "restricted"
    bench.store.replace(NAMESPACE, namespace)
    bench.deploy(replicas=1)
    failure = await bench.failed("ReplicaFailure", "FailedCreate")
    assert failure["message"].partition(" is forbidden: ")[2] == (
        'violates PodSecurity "restricted:latest": '
        'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")'
    )
    context = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    bench.change(lambda found: _container(found).update(securityContext=context))
    await bench.rolled_out()


async def test_a_service_account_must_be_there(bench: Bench) -> None:
    bench.deploy(replicas=1, pod={"serviceAccountName": "robot"})
    failure = await bench.failed("ReplicaFailure", "FailedCreate")
    assert 'error looking up service account default/robot: serviceaccount "robot" not found' in failure["message"]
    metadata = {"name": "robot", "namespace": "default"}
    bench.store.create(SERVICE_ACCOUNT, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    await bench.rolled_out()


async def test_a_rollout_without_progress_fails_at_its_deadline_and_may_still_recover(bench: Bench) -> None:
    bench.deploy(replicas=1, progressDeadlineSeconds=1, container={"image": f"{_IMAGE}:nothing"})
    failure = await bench.failed("Progressing", "ProgressDeadlineExceeded")
    assert failure["status"] == "False"
    assert failure["message"].endswith("has timed out progressing.")
    bench.image_is("1")
    await bench.failed("Progressing", "NewReplicaSetAvailable")


async def test_pods_that_never_become_ready(bench: Bench) -> None:
    never = [{"name": "SANDBOX_READY_AFTER", "value": "never"}]
    bench.deploy(replicas=1, progressDeadlineSeconds=1, container={"env": never})
    await bench.failed("Progressing", "ProgressDeadlineExceeded")
    [pod] = bench.pods()
    ready = condition(pod["status"], "Ready")
    assert pod["status"]["phase"] == "Running"
    assert ready is not None
    assert (ready["reason"], ready["message"]) == (
        "ContainersNotReady",
        "containers with unready status: [c]",
    )


async def test_available_is_ready_for_long_enough(bench: Bench) -> None:
    bench.deploy(replicas=1, minReadySeconds=2)
    await bench.until(lambda: bench.deployment().get("status", {}).get("readyReplicas") == 1)
    assert "availableReplicas" not in bench.deployment()["status"]
    await bench.rolled_out()


async def test_scaling(bench: Bench) -> None:
    bench.deploy(replicas=1)
    await bench.rolled_out()
    for replicas in (4, 2, 0):
        bench.change(lambda found, replicas=replicas: found["spec"].update(replicas=replicas))  # type: ignore[misc] # the loop's value now
        await bench.rolled_out()
        await bench.until(lambda replicas=replicas: len(bench.pods()) == replicas)  # type: ignore[misc] # as above
    assert len(list(bench.store.all(REPLICA_SET))) == 1


async def test_scaling_amid_a_rollout_that_hangs_grows_both(bench: Bench) -> None:
    bench.deploy(replicas=4)
    await bench.rolled_out()
    bench.image_is("nothing")
    await bench.waiting("ImagePullBackOff")
    bench.change(lambda found: found["spec"].update(replicas=8))
    await bench.until(lambda: sum(one["spec"]["replicas"] for one in bench.store.all(REPLICA_SET)) == 10)
    assert all(one["spec"]["replicas"] > 1 for one in bench.store.all(REPLICA_SET))


async def test_a_paused_deployment_scales_and_does_not_roll(bench: Bench) -> None:
    bench.deploy(replicas=1)
    await bench.rolled_out()
    bench.change(lambda found: found["spec"].update(paused=True, replicas=2))
    bench.image_is("2")
    await bench.failed("Progressing", "DeploymentPaused")
    await bench.until(lambda: bench.deployment()["status"].get("availableReplicas") == 2)
    assert {one["spec"]["containers"][0]["image"] for one in bench.pods()} == {f"{_IMAGE}:1"}
    bench.change(lambda found: found["spec"].pop("paused"))
    await bench.rolled_out()


async def test_replicas_that_another_sets_stay(bench: Bench) -> None:
    made = deployment()
    made["metadata"]["managedFields"] = [{"manager": "someone", "operation": "Apply"}]
    bench.store.create(DEPLOYMENT, made)
    bench.change(lambda found: found["spec"].update(replicas=3))
    await bench.rolled_out()
    assert bench.deployment()["spec"]["replicas"] == 3
    assert bench.deployment()["metadata"]["managedFields"] == [{"manager": "someone", "operation": "Apply"}]


async def test_a_pod_that_is_deleted_comes_again(bench: Bench) -> None:
    bench.deploy(replicas=1)
    await bench.rolled_out()
    [pod] = bench.pods()
    bench.store.delete(POD, "default", pod["metadata"]["name"])
    await bench.until(lambda: [one for one in bench.pods() if one["metadata"]["uid"] != pod["metadata"]["uid"]])
    await bench.rolled_out()


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
    assert {one["image"] for one in told} == {f"{_IMAGE}:1"}
    assert posted.status_code == 200


async def test_a_cluster_ip_is_not_listened_on(bench: Bench) -> None:
    bench.store.create(SERVICE, service(32410, type="ClusterIP"))
    bench.deploy(replicas=1)
    await bench.rolled_out()
    [pod] = bench.pods()
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://{pod['status']['hostIP']}:32410/")


async def test_a_port_that_another_program_has_is_an_event(bench: Bench) -> None:
    address = bench.store.get(NODE, None, next(bench.store.all(NODE))["metadata"]["name"])["status"]["addresses"][0]
    with socket.create_server((address["address"], 0)) as taken:
        bench.store.create(SERVICE, service(taken.getsockname()[1]))
        bench.deploy(replicas=1)
        await bench.until(lambda: list(bench.store.all(EVENT)))
        await bench.rolled_out()
    [event] = bench.store.all(EVENT)
    assert event["reason"] == "NodePortUnavailable"
    assert event["involvedObject"]["name"] == "web"


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
            assert (await client.get(f"http://{host}:32410/")).json()["image"] == f"{_IMAGE}:2"


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
            assert not list(bench.store.all(EVENT))
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
