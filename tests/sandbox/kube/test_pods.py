"""Pods: pulled, scheduled, admitted, crashing, by the objects that the cluster's nodes and controllers leave."""

from datetime import timedelta

import pytest

from sandbox.clock import CLOCK
from sandbox.kube.conditions import condition
from sandbox.kube.kinds import NAMESPACE, POD, RESOURCE_QUOTA, SERVICE_ACCOUNT
from sandbox.kube.store import Object
from sandbox.story.image_writer import ImageConfig, Platform, build_image, build_index, build_layer
from tests.sandbox.kube.live import IMAGE, REGISTRY, Bench, container_of, image

pytestmark = pytest.mark.asyncio


async def test_a_bad_image_says_so_and_the_old_pods_stay(bench: Bench) -> None:
    bench.deploy()
    await bench.rolled_out()
    bench.image_is("nothing")
    state = (await bench.waiting("ImagePullBackOff"))["state"]["waiting"]
    assert state["message"].startswith(f'Back-off pulling image "{IMAGE}:nothing": ErrImagePull: rpc error: ')
    assert state["message"].endswith(f"{IMAGE}:nothing: not found")
    assert bench.deployment()["status"]["availableReplicas"] == 2
    assert bench.deployment()["status"]["updatedReplicas"] == 1
    bench.image_is("2")
    await bench.rolled_out()


@pytest.mark.parametrize(
    ("reference", "reason", "words"),
    [
        (f"{IMAGE}:arm", "ErrImagePull", "no match for platform in manifest"),
        (f"{IMAGE}:arms", "ErrImagePull", "no match for platform in manifest"),
        (f"{REGISTRY}/other:1", "ErrImagePull", "not found"),
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
    bench.deploy(container={"image": f"{IMAGE}:both"})
    await bench.rolled_out()


async def test_a_crash_loop_has_the_last_words(bench: Bench) -> None:
    bench.publish("broken", image(SANDBOX_EXIT="3 no database"))
    bench.deploy(
        replicas=1,
        container={"image": f"{IMAGE}:broken", "terminationMessagePolicy": "FallbackToLogsOnError"},
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


async def test_restarts_and_deadlines_follow_the_clock(bench: Bench) -> None:
    bench.publish("broken", image(SANDBOX_EXIT="3 no database"))
    bench.deploy(replicas=1, progressDeadlineSeconds=600, container={"image": f"{IMAGE}:broken"})
    await bench.waiting("CrashLoopBackOff")
    CLOCK.advance(timedelta(seconds=10))
    await bench.until(lambda: [one for pod in bench.pods() for one in _restarted(pod, 2)])
    CLOCK.advance(timedelta(seconds=600))
    await bench.failed("Progressing", "ProgressDeadlineExceeded")


def _restarted(pod: Object, times: int) -> list[Object]:
    return [one for one in pod["status"].get("containerStatuses", ()) if one["restartCount"] == times]


async def test_last_words_show_only_where_they_are_asked_for(bench: Bench) -> None:
    environment = [{"name": "SANDBOX_EXIT", "value": "1 a secret"}]
    bench.deploy(replicas=1, container={"env": environment})
    status = await bench.waiting("CrashLoopBackOff")
    assert "message" not in status["lastState"]["terminated"]


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
    bench.change(lambda found: container_of(found).update(resources=resources))
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
        "runAsUser": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    bench.change(lambda found: container_of(found).update(securityContext=context))
    await bench.rolled_out()


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("", "image will run as root"),
        ("0:0", "image will run as root"),
        ("app", "image has non-numeric user (app), cannot verify user is non-root"),
    ],
)
async def test_who_must_not_be_root_does_not_start_as_it(bench: Bench, user: str, words: str) -> None:
    bench.publish("user", build_image([build_layer({"/a": b"1"})], ImageConfig(user=user)))
    bench.deploy(replicas=1, container={"image": f"{IMAGE}:user", "securityContext": {"runAsNonRoot": True}})
    status = await bench.waiting("CreateContainerConfigError")
    assert status["state"]["waiting"]["message"].startswith(f"container has runAsNonRoot and {words} (pod: ")


async def test_who_is_not_root_by_the_image_starts(bench: Bench) -> None:
    bench.publish("user", build_image([build_layer({"/a": b"1"})], ImageConfig(user="1000:1000")))
    bench.deploy(replicas=1, container={"image": f"{IMAGE}:user", "securityContext": {"runAsNonRoot": True}})
    await bench.rolled_out()


async def test_a_service_account_must_be_there(bench: Bench) -> None:
    bench.deploy(replicas=1, pod={"serviceAccountName": "robot"})
    failure = await bench.failed("ReplicaFailure", "FailedCreate")
    assert 'error looking up service account default/robot: serviceaccount "robot" not found' in failure["message"]
    metadata = {"name": "robot", "namespace": "default"}
    bench.store.create(SERVICE_ACCOUNT, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    await bench.rolled_out()


async def test_a_pod_that_is_deleted_comes_again(bench: Bench) -> None:
    bench.deploy(replicas=1)
    await bench.rolled_out()
    [pod] = bench.pods()
    bench.store.delete(POD, "default", pod["metadata"]["name"])
    await bench.until(lambda: [one for one in bench.pods() if one["metadata"]["uid"] != pod["metadata"]["uid"]])
    await bench.rolled_out()
