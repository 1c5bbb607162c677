"""Rollouts by the cluster's controllers, by what they leave; each test waits for a change, and none for a time."""

import pytest

from sandbox.aws.ecr import images
from sandbox.kube.conditions import condition, is_true
from sandbox.kube.kinds import DEPLOYMENT, NODE, REPLICA_SET
from tests.sandbox.kube.live import IMAGE, Bench, container_of, deployment

pytestmark = pytest.mark.asyncio


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
        assert container["imageID"] == f"{IMAGE}@{digest}"
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
    assert {container_of({"spec": {"template": one}})["image"] for one in bench.pods()} == {f"{IMAGE}:2"}
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
        bench.change(lambda found, port=port: container_of(found).update(ports=[{"containerPort": port}]))  # type: ignore[misc] # the loop's value now
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
    assert {f"{IMAGE}:1", f"{IMAGE}:2"} not in tags
    assert tags[-1] == {f"{IMAGE}:2"}


async def test_a_rollout_without_progress_fails_at_its_deadline_and_may_still_recover(bench: Bench) -> None:
    bench.deploy(replicas=1, progressDeadlineSeconds=1, container={"image": f"{IMAGE}:nothing"})
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
    assert {one["spec"]["containers"][0]["image"] for one in bench.pods()} == {f"{IMAGE}:1"}
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
