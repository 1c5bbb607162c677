"""The manifests of `deploy/kubernetes/`: a cluster takes them, and they agree with the service and its image."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from sandbox.server import Sandbox
from service.base.migrate import _ADVISORY_LOCK
from service.base.settings import FILE_VARIABLE, Settings, load
from tests.databases import PostgresServer
from tests.images import image, push_image
from tests.marks import only_sqlite
from tests.sandbox.clients import sdk
from tests.sandbox.kube.test_kubectl import Kubectl

pytestmark = pytest.mark.needs("kubectl")

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy" / "kubernetes"
SECRETS = {"database-url": "postgresql://wharfinger:pw@db.internal/wharfinger", "bootstrap-key": "whf_" + "k" * 43}
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "wharfinger", "namespace": "wharfinger"},
    "stringData": SECRETS,
}
WAITING = """
    SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
    WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted
"""
Object = dict[str, Any]
Run = Callable[..., Awaitable[str]]


@pytest.fixture(scope="module")
def objects() -> dict[str, Object]:
    """What `kubectl apply -k` sends, by kind."""
    command = ["kubectl", "kustomize", str(FOLDER)]
    rendered = subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - nothing of it is from outside
    found = {one["kind"]: one for one in yaml.safe_load_all(rendered.stdout)}
    assert set(found) == {
        "Namespace",
        "ServiceAccount",
        "ConfigMap",
        "Service",
        "Deployment",
        "PodDisruptionBudget",
        "NetworkPolicy",
    }
    return found


@pytest.fixture
def pod(objects: dict[str, Object]) -> Object:
    """The spec of the pods."""
    return dict(objects["Deployment"]["spec"]["template"]["spec"])


@pytest.fixture
def container(pod: Object) -> Object:
    [one] = pod["containers"]
    return dict(one)


def _value(source: Object, objects: dict[str, Object]) -> str:
    if "secretKeyRef" in source:
        return SECRETS[source["secretKeyRef"]["key"]]
    assert source == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    return str(objects["Deployment"]["metadata"]["namespace"])


@pytest.fixture
def environment(objects: dict[str, Object], container: Object, tmp_path: Path) -> dict[str, str]:
    """The container's variables; the settings file is in a folder of this test instead of its mount."""
    values = {one["name"]: one.get("value") or _value(one["valueFrom"], objects) for one in container["env"]}
    mounts = {one["name"]: Path(one["mountPath"]) for one in container["volumeMounts"]}
    [(file, text)] = objects["ConfigMap"]["data"].items()
    assert Path(values[FILE_VARIABLE]) == mounts["settings"] / file
    (tmp_path / file).write_text(text)
    return values | {FILE_VARIABLE: str(tmp_path / file)}


@pytest.fixture
def read(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings as a replica reads them; a name that is none fails here."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load()


@pytest.fixture
def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text()


@pytest.fixture
def kubectl(aws: Sandbox, tmp_path: Path) -> Run:
    """Runs kubectl as the cluster's administrator, and gives what it prints."""
    file = tmp_path / "kubeconfig"
    file.write_text(aws.kubeconfig())
    return partial(Kubectl(aws.kube_endpoint(), tmp_path).run, f"--kubeconfig={file}")


@pytest.mark.asyncio
async def test_a_cluster_takes_them_and_runs_the_replicas(
    aws: Sandbox, kubectl: Run, objects: dict[str, Object], container: Object, tmp_path: Path
) -> None:
    name, _, tag = container["image"].rpartition(":")
    async with sdk("ecr", aws) as ecr:
        await ecr.create_repository(repositoryName="wharfinger")
    await push_image(aws, "wharfinger", tag, image("wharfinger"))
    images = [{"name": name, "newName": f"{aws.host()}/wharfinger"}]
    shutil.copytree(FOLDER, tmp_path / "base")
    (tmp_path / "overlay").mkdir()
    (tmp_path / "overlay/kustomization.yaml").write_text(yaml.safe_dump({"resources": ["../base"], "images": images}))

    send = ("apply", "--server-side", "--validate=false")
    await kubectl(*send, "-f", str(FOLDER / "namespace.yaml"))
    (tmp_path / "secret.yaml").write_text(yaml.safe_dump(SECRET))
    await kubectl(*send, "-f", str(tmp_path / "secret.yaml"))
    await kubectl(*send, "-k", str(tmp_path / "overlay"))
    await kubectl("rollout", "status", "deployment/wharfinger", "--namespace=wharfinger", "--timeout=60s")

    for one in objects.values():
        shown = await kubectl("get", one["kind"], one["metadata"]["name"], "--namespace=wharfinger", "-o", "yaml")
        assert lost(without_images(one), yaml.safe_load(shown)) == []
    pods = yaml.safe_load(await kubectl("get", "pods", "--namespace=wharfinger", "-o", "yaml"))["items"]
    assert [one["status"]["phase"] for one in pods] == ["Running"] * 3


def without_images(asked: Object) -> Object:
    """A copy of an object that says nothing of images: the overlay has others."""
    copy: Object = yaml.safe_load(yaml.safe_dump(asked))
    spec = copy.get("spec", {}).get("template", {}).get("spec", {})
    for one in [*spec.get("initContainers", ()), *spec.get("containers", ())]:
        del one["image"]
    return copy


def lost(asked: Any, shown: Any, way: str = "") -> list[str]:  # noqa: ANN401 - any part of a YAML document
    """The places of what was asked for that the API server shows otherwise, or not at all."""
    if isinstance(asked, dict) and isinstance(shown, dict):
        return [place for key in asked for place in lost(asked[key], shown.get(key), f"{way}.{key}")]
    if isinstance(asked, list) and isinstance(shown, list) and len(asked) == len(shown):
        pairs = enumerate(zip(asked, shown, strict=True))
        return [place for number, (one, other) in pairs for place in lost(one, other, f"{way}[{number}]")]
    return [] if asked == shown else [way]


def test_the_settings_are_read_by_the_service(read: Settings, container: Object, pod: Object) -> None:
    assert read.database_url == SECRETS["database-url"].replace("postgresql:", "postgresql+psycopg:")
    assert read.registries
    assert read.own_namespace == "wharfinger"
    assert all(cluster.is_eks for cluster in read.clusters)
    [secrets] = [one["secret"] for one in pod["volumes"] if "secret" in one]
    [mount] = [one["mountPath"] for one in container["volumeMounts"] if one["name"] == "secrets"]
    assert [Path(mount) / item["path"] for item in secrets["items"]] == [read.bootstrap_key_file]


def test_the_readme_makes_the_secret_that_the_pods_want(container: Object, pod: Object) -> None:
    sources = [one["valueFrom"] for one in container["env"] if "valueFrom" in one]
    references = [one["secretKeyRef"] for one in sources if "secretKeyRef" in one]
    [mounted] = [one["secret"] for one in pod["volumes"] if "secret" in one]
    [command] = re.findall(
        r"kubectl create secret generic (\S+) (.*?)\n(?!\s)", (FOLDER / "README.md").read_text(), re.DOTALL
    )
    assert {command[0]} == {one["name"] for one in references} | {mounted["secretName"]}
    made = set(re.findall(r"--from-\w+=([a-z-]+)=", command[1]))
    assert made == {one["key"] for one in references} | {item["key"] for item in mounted["items"]}


@only_sqlite
@pytest.mark.asyncio
async def test_the_probes_are_answered(bare_client: httpx.AsyncClient, container: Object, dockerfile: str) -> None:
    [port] = container["ports"]
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
    assert [(await bare_client.get(probe["path"])).status_code for probe in probes] == [200] * 3
    assert {probe["port"] for probe in probes} == {port["name"]}
    assert f"WHARFINGER__PORT={port['containerPort']}" in dockerfile


def test_a_pod_has_time_to_drain(read: Settings, pod: Object) -> None:
    deadlines = read.deadlines
    assert deadlines.drain_delay > timedelta(0)
    assert deadlines.request <= deadlines.drain
    # Past the requests in flight, what is closed after them: five seconds of it are allowed for.
    assert deadlines.drain_delay + deadlines.drain + timedelta(seconds=5) < timedelta(
        seconds=pod["terminationGracePeriodSeconds"]
    )


def test_the_pods_run_as_the_image_does(pod: Object, container: Object, dockerfile: str) -> None:
    [(user, group)] = re.findall(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE)
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]) == (int(user), int(group))
    # A root file system that is read-only needs a place to write wherever the image has one.
    empty = {one["name"] for one in pod["volumes"] if "emptyDir" in one}
    writable = {one["mountPath"] for one in container["volumeMounts"] if one["name"] in empty}
    assert writable >= set(re.findall(r"^VOLUME (\S+)$", dockerfile, re.MULTILINE))


def test_the_service_and_the_budget_select_the_pods(objects: dict[str, Object]) -> None:
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    spread = objects["Deployment"]["spec"]["template"]["spec"]["topologySpreadConstraints"]
    selectors = [
        objects["Service"]["spec"]["selector"],
        objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        *(one["labelSelector"]["matchLabels"] for one in spread),
    ]
    assert all(selector.items() <= labels for selector in selectors)


def test_the_network_lets_in_requests_and_out_only_to_what_is_named(
    objects: dict[str, Object], container: Object
) -> None:
    spec = objects["NetworkPolicy"]["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    [way_in] = spec["ingress"]
    assert [one["port"] for one in way_in["ports"]] == [container["ports"][0]["containerPort"]]
    anywhere, agent = spec["egress"]
    assert "to" not in anywhere
    assert {(one["port"], one["protocol"]) for one in anywhere["ports"]} == {
        (53, "UDP"),
        (53, "TCP"),
        (443, "TCP"),
        (5432, "TCP"),
    }
    # AWS, "EKS Pod Identity Agent": its link-local addresses. The node's metadata, also at port 80, is not among them.
    assert {one["ipBlock"]["cidr"] for one in agent["to"]} == {"169.254.170.23/32", "fd00:ec2::23/128"}
    assert [one["port"] for one in agent["ports"]] == [80]


def test_replicas_that_start_at_once_migrate_one_after_another(
    postgres: PostgresServer, pod: Object, environment: dict[str, str]
) -> None:
    [init] = pod["initContainers"]
    command = [sys.executable, "-m", "api.cli", *init["args"]]
    with postgres.bare_database() as url, psycopg.connect(url, autocommit=True) as connection:
        # As if a first one were at it, until two more wait for its end.
        connection.execute("SELECT pg_advisory_lock(%s)", [_ADVISORY_LOCK])
        variables = os.environ | environment | {"WHARFINGER__DATABASE__URL": url}
        replicas = [subprocess.Popen(command, cwd=ROOT, env=variables) for _ in range(2)]  # noqa: S603 - ours
        while connection.execute(WAITING).fetchone() != (2,):
            assert {one.poll() for one in replicas} == {None}, "one did not wait"
            time.sleep(0.05)  # waiting for a lock is no event to others
        connection.execute("SELECT pg_advisory_unlock(%s)", [_ADVISORY_LOCK])
        assert [one.wait() for one in replicas] == [0, 0]
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
