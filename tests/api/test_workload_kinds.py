"""What can be asked for of a workload: without a port, with Secrets and ConfigMaps, with other commands and probes."""

import base64
from typing import Any

import httpx
import pytest
import pytest_asyncio

from sandbox.server import Sandbox
from tests.images import publish
from tests.marks import only_sqlite
from tests.sandbox.kube.api_server import CONFIG_MAPS, DEPLOYMENTS, SERVICES

pytestmark = [pytest.mark.asyncio, only_sqlite]
WORKER: dict[str, Any] = {"cluster": "demo", "name": "myapp", "image": "myapp:1"}
SECRETS = "/api/v1/namespaces/default/secrets"


@pytest_asyncio.fixture(autouse=True)
async def pushed(aws: Sandbox) -> None:
    await publish(aws, "myapp", "1", "2")


async def deploy(client: httpx.AsyncClient, status: int = 200, **changes: object) -> dict[str, Any]:
    answer = await client.post("/v1/deployments", params={"wait": "30"}, json=WORKER | changes)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


async def dry_run(client: httpx.AsyncClient, **changes: object) -> list[dict[str, Any]]:
    answer = await client.post("/v1/deployments", params={"dry_run": "true"}, json=WORKER | changes)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["changes"])


async def pod_spec(kube: httpx.AsyncClient) -> dict[str, Any]:
    found = (await kube.get(f"{DEPLOYMENTS}/myapp")).json()
    return dict(found["spec"]["template"]["spec"])


async def make_secret(kube: httpx.AsyncClient, name: str, **values: str) -> None:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    (await kube.post(SECRETS, json={"metadata": {"name": name}, "data": data})).raise_for_status()


async def test_a_worker_has_neither_port_nor_service(deployer: httpx.AsyncClient, kube: httpx.AsyncClient) -> None:
    made = await deploy(deployer)
    assert (made["status"], made["urls"], made["spec"]["port"]) == ("succeeded", [], None)
    assert "ports" not in (await pod_spec(kube))["containers"][0]
    assert (await kube.get(f"{SERVICES}/myapp")).status_code == 404


async def test_the_service_goes_where_the_port_does_and_comes_back_with_a_rollback(
    deployer: httpx.AsyncClient, kube: httpx.AsyncClient
) -> None:
    await deploy(deployer, port=8080)
    shown = await dry_run(deployer)
    assert {one["after"] for one in shown if one["object"] == "Service/myapp"} == {None}
    assert ".spec" in {one["path"] for one in shown if one["object"] == "Service/myapp"}
    worker = await deploy(deployer)
    assert (await kube.get(f"{SERVICES}/myapp")).status_code == 404
    back = await deployer.post(f"/v1/deployments/{worker['id']}/rollback", params={"wait": "30"}, json={})
    assert back.status_code == 200, back.text
    assert (await kube.get(f"{SERVICES}/myapp")).status_code == 200
    assert back.json()["urls"]


async def test_a_worker_leaves_a_service_of_others_alone(deployer: httpx.AsyncClient, kube: httpx.AsyncClient) -> None:
    theirs = {"metadata": {"name": "myapp"}, "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 80}]}}
    (await kube.post(SERVICES, json=theirs)).raise_for_status()
    assert {one["object"] for one in await dry_run(deployer)} == {"Deployment/myapp"}
    await deploy(deployer)
    assert (await kube.get(f"{SERVICES}/myapp")).json()["spec"]["selector"] == {"app": "theirs"}


async def test_a_service_may_have_another_port_than_the_container(
    deployer: httpx.AsyncClient, kube: httpx.AsyncClient
) -> None:
    made = await deploy(deployer, port=8080, service_port=80, service_type="ClusterIP")
    [port] = (await kube.get(f"{SERVICES}/myapp")).json()["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (80, 8080)
    assert made["urls"] == ["http://myapp.default.svc:80"]


async def test_what_is_taken_from_secrets_and_config_maps(deployer: httpx.AsyncClient, kube: httpx.AsyncClient) -> None:
    await make_secret(kube, "keys", password="hunter2", token="t0ken")
    (await kube.post(CONFIG_MAPS, json={"metadata": {"name": "settings"}, "data": {"level": "3"}})).raise_for_status()
    (await kube.post(SECRETS, json={"metadata": {"name": "registry"}})).raise_for_status()
    made = await deploy(
        deployer,
        env={"PLAIN": "1"},
        secret_env={"PASSWORD": {"secret": "keys", "key": "password"}},
        config_env={"LEVEL": {"config_map": "settings", "key": "level"}},
        env_from=[{"config_map": "settings"}, {"secret": "keys"}],
        volumes=[
            {"mount_path": "/etc/settings", "config_map": "settings"},
            {"mount_path": "/etc/keys", "secret": "keys"},
            {"mount_path": "/cache", "empty_dir": True},
        ],
        image_pull_secrets=["registry"],
    )
    pod = await pod_spec(kube)
    [container] = pod["containers"]
    assert container["env"] == [
        {"name": "PLAIN", "value": "1"},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "password"}}},
        {"name": "LEVEL", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "level"}}},
    ]
    assert container["envFrom"] == [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "keys"}}]
    volumes = {one["name"]: one for one in pod["volumes"]}
    mounted = {one["mountPath"]: volumes[one["name"]] for one in container["volumeMounts"]}
    assert mounted["/etc/settings"]["configMap"]["name"] == "settings"
    assert mounted["/etc/keys"]["secret"]["secretName"] == "keys"
    assert mounted["/cache"]["emptyDir"] == {}
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    # What is no value is shown as it is.
    assert made["spec"]["secret_env"] == {"PASSWORD": {"secret": "keys", "key": "password"}}
    assert made["spec"]["env"] == {"PLAIN": "…"}


async def test_a_value_of_a_secret_reaches_the_container(deployer: httpx.AsyncClient, kube: httpx.AsyncClient) -> None:
    await make_secret(kube, "keys", exit="3 the secret says so")
    failed = await deploy(deployer, 409, secret_env={"SANDBOX_EXIT": {"secret": "keys", "key": "exit"}})
    reason = failed["deployment"]["reason"]
    assert (reason["code"], reason["message"]) == ("crash_loop", "exit code 3: the secret says so")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"secret_env": {"A": {"secret": "none", "key": "a"}}}, 'secret "none" not found'),
        ({"secret_env": {"A": {"secret": "keys", "key": "a"}}}, "couldn't find key a in Secret default/keys"),
        ({"config_env": {"A": {"config_map": "none", "key": "a"}}}, 'configmap "none" not found'),
        ({"env_from": [{"secret": "none"}]}, 'secret "none" not found'),
    ],
)
async def test_what_is_named_and_not_there_is_the_reason(
    deployer: httpx.AsyncClient, kube: httpx.AsyncClient, asked: dict[str, Any], words: str
) -> None:
    await make_secret(kube, "keys", b="1")
    reason = (await deploy(deployer, 409, **asked))["deployment"]["reason"]
    assert reason["code"] == "container_config_invalid"
    assert reason["message"] == f"CreateContainerConfigError: {words}"


async def test_a_volume_of_a_secret_that_is_not_there_keeps_the_container_from_starting(
    deployer: httpx.AsyncClient,
) -> None:
    volume = {"mount_path": "/etc/keys", "secret": "none"}
    reason = (await deploy(deployer, 409, volumes=[volume], progress_deadline="PT3S"))["deployment"]["reason"]
    assert (reason["code"], reason["container"]) == ("container_not_started", "myapp")
    assert reason["message"].startswith("ContainerCreating: the pod does not say why")


async def test_a_command_with_its_arguments_and_time_to_end(
    deployer: httpx.AsyncClient, kube: httpx.AsyncClient
) -> None:
    await deploy(deployer, command=["python", "-m"], args=["worker", "--all"], termination_grace_period_seconds=90)
    pod = await pod_spec(kube)
    [container] = pod["containers"]
    assert (container["command"], container["args"]) == (["python", "-m"], ["worker", "--all"])
    assert pod["terminationGracePeriodSeconds"] == 90
    await deploy(deployer)
    pod = await pod_spec(kube)
    assert pod["terminationGracePeriodSeconds"] == 30
    assert not {"command", "args"} & set(pod["containers"][0])


async def test_a_probe_may_be_a_command_or_a_connection_and_change(
    deployer: httpx.AsyncClient, kube: httpx.AsyncClient
) -> None:
    handlers: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}}),
        ({"command": ["true"]}, {"exec": {"command": ["true"]}}),
        ({"tcp": True}, {"tcpSocket": {"port": 8080}}),
        ({"path": "/ready", "port": 9090}, {"httpGet": {"path": "/ready", "port": 9090, "scheme": "HTTP"}}),
    ]
    for probe, handler in handlers:
        await deploy(deployer, port=8080, probes={"readiness": probe})
        found = (await pod_spec(kube))["containers"][0]["readinessProbe"]
        assert {name: found[name] for name in found if name in ("httpGet", "exec", "tcpSocket")} == handler


@pytest.mark.parametrize(
    "changes",
    [
        {"service_port": 80},
        {"node_port": 32410},
        {"probes": {"liveness": {}}},
        {"probes": {"liveness": {"tcp": True}}},
        {"port": 8080, "probes": {"liveness": {"tcp": True, "command": ["true"]}}},
        {"port": 8080, "probes": {"liveness": {"port": 1, "command": ["true"]}}},
        {"env": {"A": "1"}, "secret_env": {"A": {"secret": "keys", "key": "a"}}},
        {"secret_env": {"A": {"secret": "keys"}}},
        {"env_from": [{}]},
        {"env_from": [{"secret": "one", "config_map": "two"}]},
        {"volumes": [{"mount_path": "/a"}]},
        {"volumes": [{"mount_path": "a", "empty_dir": True}]},
        {"volumes": [{"mount_path": "/a", "empty_dir": True}, {"mount_path": "/a", "secret": "keys"}]},
        {"image_pull_secrets": ["one", "one"]},
    ],
)
async def test_what_does_not_go_together_is_told(deployer: httpx.AsyncClient, changes: dict[str, Any]) -> None:
    answer = await deployer.post("/v1/deployments", json=WORKER | changes)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_body"), answer.text


async def test_the_same_again_makes_no_new_pods(deployer: httpx.AsyncClient, kube: httpx.AsyncClient) -> None:
    await make_secret(kube, "keys", a="1")
    asked: dict[str, Any] = {
        "port": 8080,
        "secret_env": {"A": {"secret": "keys", "key": "a"}},
        "volumes": [{"mount_path": "/etc/keys", "secret": "keys"}],
        "probes": {"readiness": {"tcp": True}},
    }
    for _ in range(2):
        await deploy(deployer, **asked)
    found = (await kube.get(DEPLOYMENTS.replace("deployments", "replicasets"))).json()["items"]
    assert len(found) == 1
