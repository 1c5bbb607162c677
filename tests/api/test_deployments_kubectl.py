"""What kubectl shows of a deployment, beside what was asked for and what wharfinger says of it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml

from sandbox.server import Sandbox
from tests.api.deploying import BODY, deployed
from tests.images import publish
from tests.marks import only_sqlite
from tests.sandbox.kube.api_server import config_map
from tests.sandbox.kube.api_server import deployment as a_deployment
from tests.sandbox.kube.api_server import service as a_service
from tests.sandbox.kube.test_kubectl import Kubectl

pytestmark = [pytest.mark.asyncio, pytest.mark.needs("kubectl"), only_sqlite]
Run = Callable[..., Awaitable[str]]
EVERYTHING: dict[str, Any] = {
    "replicas": 2,
    "node_port": 32410,
    "env": {"GREETING": "hello", "LEVEL": "3"},
    "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
    "probes": {
        "readiness": {"path": "/ready", "period_seconds": 2, "failure_threshold": 5},
        "liveness": {"path": "/alive", "initial_delay_seconds": 3, "timeout_seconds": 2},
        "startup": {"path": "/started"},
    },
    "labels": {"team": "core"},
    "service_account": "runner",
    "progress_deadline": "PT2M",
}
LABELS = {"app.kubernetes.io/name": "myapp", "app.kubernetes.io/managed-by": "wharfinger"}


@pytest_asyncio.fixture(autouse=True)
async def pushed(aws: Sandbox) -> None:
    await publish(aws, "myapp", "1")


@pytest.fixture
def kubectl(aws: Sandbox, tmp_path: Path) -> Run:
    """Runs kubectl as the cluster's administrator, and gives what it prints."""
    file = tmp_path / "kubeconfig"
    file.write_text(aws.kubeconfig())
    return partial(Kubectl(aws.kube_endpoint(), tmp_path).run, f"--kubeconfig={file}")


async def apply(kubectl: Run, folder: Path, *made: dict[str, Any]) -> None:
    file = folder / "objects.yaml"
    file.write_text(yaml.safe_dump_all(made))
    await kubectl("apply", "--server-side", "--validate=false", "-f", str(file))


async def shown(kubectl: Run, what: str, *options: str) -> dict[str, Any]:
    return dict(json.loads(await kubectl("get", what, "-o", "json", *options)))


def leaves(fields: dict[str, Any], way: str = "") -> Iterator[str]:
    """The paths of a `fieldsV1` that are owned themselves, as `f:spec/f:replicas`."""
    for name, inner in fields.items():
        yield from leaves(inner, f"{way}{name}/") if inner else [way + name]


async def owned(kubectl: Run, what: str) -> set[str]:
    """What wharfinger owns of an object, by server-side apply and by no other way of writing."""
    entries = (await shown(kubectl, what, "--show-managed-fields"))["metadata"]["managedFields"]
    [mine] = [one for one in entries if one["manager"] == "wharfinger"]
    assert mine["operation"] == "Apply"
    return set(leaves(mine["fieldsV1"]))


async def test_the_deployment_is_what_was_asked_for(admin: httpx.AsyncClient, kubectl: Run, tmp_path: Path) -> None:
    await apply(kubectl, tmp_path, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "runner"}})
    made = await deployed(admin, **EVERYTHING)
    found = await shown(kubectl, "deployment/myapp")
    spec, template = found["spec"], found["spec"]["template"]
    [container] = template["spec"]["containers"]
    assert (spec["replicas"], spec["progressDeadlineSeconds"]) == (2, 120)
    assert found["metadata"]["labels"] == template["metadata"]["labels"] == LABELS | {"team": "core"}
    assert spec["selector"] == {"matchLabels": LABELS}
    assert template["spec"]["serviceAccountName"] == "runner"
    assert container["image"] == made["image_uri"]
    assert made["image_uri"].endswith(f"/myapp@{made['digest']}")
    assert container["ports"] == [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]
    assert {one["name"]: one["value"] for one in container["env"]} == EVERYTHING["env"]
    assert container["resources"] == EVERYTHING["resources"]


async def test_the_probes_are_what_was_asked_for(deployer: httpx.AsyncClient, kubectl: Run) -> None:
    await deployed(deployer, probes=EVERYTHING["probes"])
    [container] = (await shown(kubectl, "deployment/myapp"))["spec"]["template"]["spec"]["containers"]
    asked: dict[str, dict[str, object]] = {
        "readinessProbe": {"path": "/ready", "periodSeconds": 2, "failureThreshold": 5},
        "livenessProbe": {"path": "/alive", "initialDelaySeconds": 3, "timeoutSeconds": 2},
        "startupProbe": {"path": "/started"},
    }
    defaults: dict[str, object] = {
        "periodSeconds": 10,
        "timeoutSeconds": 1,
        "failureThreshold": 3,
        "initialDelaySeconds": 0,
    }
    for name, wanted in asked.items():
        get = container[name]["httpGet"]
        # What is 0 the API server may leave out.
        times = {field: container[name].get(field, 0) for field in defaults}
        assert {"path": get["path"], **times} == defaults | wanted, name
        assert get["port"] == 8080


async def test_the_service_is_what_was_asked_for(deployer: httpx.AsyncClient, kubectl: Run) -> None:
    await deployed(deployer, node_port=32410, labels={"team": "core"})
    found = await shown(kubectl, "service/myapp")
    port = {"name": "http", "protocol": "TCP", "port": 8080, "targetPort": 8080, "nodePort": 32410}
    assert (found["spec"]["type"], found["spec"]["ports"]) == ("NodePort", [port])
    assert found["spec"]["selector"] == LABELS
    assert found["metadata"]["labels"] == LABELS | {"team": "core"}


async def test_what_was_asked_for_is_owned_and_nothing_else(deployer: httpx.AsyncClient, kubectl: Run) -> None:
    await deployed(deployer)
    least, of_service = await owned(kubectl, "deployment/myapp"), await owned(kubectl, "service/myapp")
    assert "f:spec/f:replicas" not in least
    assert not any("f:nodePort" in one for one in of_service)
    container = 'f:spec/f:template/f:spec/f:containers/k:{"name":"myapp"}/'
    assert {f"{container}f:{name}" for name in ("name", "image", "terminationMessagePolicy")} <= least
    assert not any(f"{container}f:{name}" in one for one in least for name in ("env", "resources", "readinessProbe"))
    await deployed(deployer, replicas=1, node_port=32411, env={"GREETING": "hello"})
    more = await owned(kubectl, "deployment/myapp") - least
    variable = f'{container}f:env/k:{{"name":"GREETING"}}/'
    assert more == {"f:spec/f:replicas", f"{variable}.", f"{variable}f:name", f"{variable}f:value"}
    [port] = await owned(kubectl, "service/myapp") - of_service
    assert port == 'f:spec/f:ports/k:{"port":8080,"protocol":"TCP"}/f:nodePort'


async def test_replicas_that_somebody_else_sets_outlast_a_deploy(deployer: httpx.AsyncClient, kubectl: Run) -> None:
    await deployed(deployer)
    await kubectl("scale", "deployment/myapp", "--replicas=3")
    made = await deployed(deployer, env={"GREETING": "hello"})
    assert made["progress"]["desired"] == 3
    assert (await shown(kubectl, "deployment/myapp"))["spec"]["replicas"] == 3


async def test_its_urls_are_the_hosts_that_kubectl_shows_and_they_answer(
    deployer: httpx.AsyncClient, kubectl: Run
) -> None:
    made = await deployed(deployer, replicas=2, node_port=32410)
    assert "successfully rolled out" in await kubectl("rollout", "status", "deployment/myapp", "--timeout=30s")
    hosts = (await kubectl("get", "pod", "-o", "jsonpath={.items[*].status.hostIP}")).split()
    names = (await kubectl("get", "pod", "-o", "jsonpath={.items[*].metadata.name}")).split()
    assert made["urls"] == sorted({f"http://{host}:32410" for host in hosts})
    async with httpx.AsyncClient(trust_env=False) as anybody:
        told = [(await anybody.get(url)).raise_for_status().json() for url in made["urls"]]
    assert {one["pod"] for one in told} <= set(names)
    assert {one["image"] for one in told} == {made["image_uri"]}


async def test_delete_leaves_what_is_not_ours(deployer: httpx.AsyncClient, kubectl: Run, tmp_path: Path) -> None:
    made = await deployed(deployer)
    await kubectl("delete", "service", "myapp")
    # Under our name too, and not ours.
    await apply(
        kubectl, tmp_path, config_map("myapp", a="b"), a_deployment("other"), a_service("other"), a_service("myapp")
    )
    gone = await deployer.delete(f"/v1/deployments/{made['id']}", params={"wait": "30"})
    assert (gone.status_code, gone.json()["status"]) == (200, "succeeded"), gone.text
    left = set((await kubectl("get", "deployments,services,configmaps", "-o", "name")).split())
    assert {"deployment.apps/other", "service/other", "service/myapp", "configmap/myapp"} <= left
    assert "deployment.apps/myapp" not in left


async def test_delete_removes_what_is_ours(deployer: httpx.AsyncClient, kubectl: Run) -> None:
    made = await deployed(deployer)
    gone = await deployer.delete(f"/v1/deployments/{made['id']}", params={"wait": "30"})
    assert gone.status_code == 200, gone.text
    assert await kubectl("get", "deployment,service", "myapp", "-o", "name", "--ignore-not-found") == ""


@pytest.mark.parametrize("former", ["NodePort", "LoadBalancer"])
async def test_a_cluster_ip_is_known_by_its_name_in_the_cluster(
    deployer: httpx.AsyncClient, kubectl: Run, former: str
) -> None:
    await deployed(deployer, service_type=former)
    made = await deployed(deployer, service_type="ClusterIP")
    assert made["urls"] == ["http://myapp.default.svc:8080"]
    spec = (await shown(kubectl, "service/myapp"))["spec"]
    assert (spec["type"], "nodePort" in spec["ports"][0]) == ("ClusterIP", False)


async def test_a_load_balancer_is_waited_for_and_known_by_the_name_that_it_was_given(
    deployer: httpx.AsyncClient, aws: Sandbox, kubectl: Run
) -> None:
    hold = aws.hold("WATCH services")
    path = (await deployer.post("/v1/deployments", json=BODY | {"service_type": "LoadBalancer"})).headers["location"]
    assert await asyncio.to_thread(hold.reached, 10)
    await kubectl("rollout", "status", "deployment/myapp")
    assert (await deployer.get(path)).json()["status"] == "progressing"
    hold.release()
    [url] = (await deployer.get(path, params={"wait": "30"})).json()["urls"]
    given = (await shown(kubectl, "service/myapp"))["status"]["loadBalancer"]["ingress"]
    assert [url] == [f"http://{one['hostname']}:8080" for one in given]


async def test_a_load_balancer_that_does_not_come_is_the_reason(deployer: httpx.AsyncClient, aws: Sandbox) -> None:
    aws.hold("WATCH services")
    failed = await deployer.post(
        "/v1/deployments",
        params={"wait": "30"},
        json=BODY | {"service_type": "LoadBalancer", "progress_deadline": "PT1S"},
    )
    assert (failed.status_code, failed.json()["deployment"]["reason"]["code"]) == (409, "load_balancer_pending")
