"""The real kubectl against the sandbox's API server: what it prints is what was asked for."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.sandbox.kube.api_server import DEPLOYMENTS, Cluster, deployment, on_loopback, pod, service

pytestmark = [pytest.mark.asyncio, pytest.mark.needs("kubectl")]

FINISHED = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Runs kubectl against one server, with a home of its own."""

    url: str
    home: Path

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            "kubectl",
            f"--server={self.url}",
            f"--cache-dir={self.home}/cache",
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"HOME": str(self.home), "PATH": "/usr/local/bin:/usr/bin:/bin", "KUBECONFIG": "/dev/null"},
        )

    async def run(self, *words: str) -> str:
        """What it prints; fails where it fails."""
        done = await self.start(*words)
        out, error = await done.communicate()
        assert done.returncode == 0, error.decode()
        return out.decode()

    async def fail(self, *words: str) -> str:
        """What it complains of; fails where it does not."""
        done = await self.start(*words)
        _, error = await done.communicate()
        assert done.returncode != 0
        return error.decode()

    async def apply(self, *made: dict[str, Any]) -> str:
        file = self.home / "objects.yaml"
        file.write_text(yaml.safe_dump_all(made))
        return await self.run("apply", "--server-side", "--validate=false", "-f", str(file))


@pytest_asyncio.fixture
async def kubectl(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Kubectl]:
    async with on_loopback(cluster.app) as url:
        yield Kubectl(url, tmp_path)


async def test_apply_then_get_shows_what_was_asked_for(kubectl: Kubectl) -> None:
    ports = [{"port": 80, "targetPort": 8080, "nodePort": 32410}]
    printed = await kubectl.apply(deployment(replicas=2), service(type="NodePort", port=ports))
    assert printed.splitlines() == ["deployment.apps/app serverside-applied", "service/app serverside-applied"]
    shown = yaml.safe_load(await kubectl.run("get", "deployment", "app", "-o", "yaml"))
    assert (shown["spec"]["replicas"], shown["metadata"]["namespace"]) == (2, "default")
    assert shown["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.test/app:1"
    assert await kubectl.run("get", "svc", "app", "-o", "jsonpath={.spec.ports[0].nodePort}") == "32410"
    managers = json.loads(await kubectl.run("get", "deploy/app", "-o", "json", "--show-managed-fields"))
    assert managers["metadata"]["managedFields"][0]["manager"] == "kubectl"


async def test_tables(kubectl: Kubectl) -> None:
    await kubectl.apply(deployment(replicas=2), service(type="NodePort", port=[{"port": 80, "nodePort": 32410}]))
    [head, row] = (await kubectl.run("get", "deployments")).splitlines()
    assert head.split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert row.split()[:4] == ["app", "0/2", "0", "0"]
    [head, row] = (await kubectl.run("get", "services")).splitlines()
    assert head.split() == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]
    assert row.split()[1] == "NodePort"
    assert row.split()[4] == "80:32410/TCP"
    [head, *rows] = (await kubectl.run("get", "namespaces")).splitlines()
    assert head.split() == ["NAME", "STATUS", "AGE"]
    assert [one.split()[:2] for one in rows] == [["default", "Active"], ["kube-system", "Active"]]


async def test_pods_by_label(cluster: Cluster, kubectl: Kubectl) -> None:
    for name, app in (("one", "a"), ("two", "b")):
        await cluster.http.post("/api/v1/namespaces/default/pods", json=pod(name, app=app))
    assert await kubectl.run("get", "pods", "-l", "app=b", "-o", "name") == "pod/two\n"
    [head, row] = (await kubectl.run("get", "pods", "-l", "app=a")).splitlines()
    assert head.split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert row.split()[:4] == ["one", "0/1", "Pending", "0"]


async def test_rollout_status_waits_for_the_rollout(cluster: Cluster, kubectl: Kubectl) -> None:
    await kubectl.apply(deployment(replicas=2))
    waiting = await kubectl.start("rollout", "status", "deployment/app", "--timeout=60s")
    assert waiting.stdout
    first = await waiting.stdout.readline()
    assert first.startswith(b"Waiting for deployment")
    await cluster.patch(f"{DEPLOYMENTS}/app/status", {"status": FINISHED})
    rest, error = await waiting.communicate()
    assert waiting.returncode == 0, error.decode()
    assert rest.decode().endswith('deployment "app" successfully rolled out\n')


async def test_get_watches(cluster: Cluster, kubectl: Kubectl) -> None:
    await kubectl.apply(deployment(replicas=2))
    watching = await kubectl.start("get", "deployments", "-w")
    assert watching.stdout
    await watching.stdout.readline()
    assert (await watching.stdout.readline()).split()[:2] == [b"app", b"0/2"]
    await cluster.patch(f"{DEPLOYMENTS}/app/status", {"status": FINISHED})
    assert (await watching.stdout.readline()).split()[:4] == [b"app", b"2/2", b"2", b"2"]
    watching.terminate()
    await watching.wait()


async def test_scale_and_delete(kubectl: Kubectl) -> None:
    await kubectl.apply(deployment())
    assert await kubectl.run("scale", "deployment/app", "--replicas=4") == "deployment.apps/app scaled\n"
    assert await kubectl.run("get", "deployment", "app", "-o", "jsonpath={.spec.replicas}") == "4"
    assert await kubectl.run("delete", "deployment", "app") == 'deployment.apps "app" deleted\n'
    assert 'deployments.apps "app" not found' in await kubectl.fail("get", "deployment", "app")


async def test_a_conflict_names_the_other_manager(cluster: Cluster, kubectl: Kubectl) -> None:
    await cluster.apply(DEPLOYMENTS, deployment(replicas=1), "wharfinger")
    file = kubectl.home / "mine.yaml"
    file.write_text(yaml.safe_dump(deployment(replicas=2)))
    said = await kubectl.fail("apply", "--server-side", "--validate=false", "-f", str(file))
    assert 'conflict with "wharfinger": .spec.replicas' in said


async def test_namespaces(kubectl: Kubectl) -> None:
    assert await kubectl.run("create", "namespace", "team") == "namespace/team created\n"
    assert await kubectl.run("delete", "namespace", "team") == 'namespace "team" deleted\n'


async def test_version_and_resources(kubectl: Kubectl) -> None:
    assert "Server Version: v1.34" in await kubectl.run("version")
    assert "deploy " in await kubectl.run("api-resources")


async def test_create_makes_what_is_named_on_the_command_line(kubectl: Kubectl) -> None:
    await kubectl.run("create", "secret", "generic", "login", "--from-literal=user=me", "--from-literal=password=ü=1")
    secret = json.loads(await kubectl.run("get", "secret", "login", "-o", "json"))
    kept = {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
    assert (secret["type"], kept) == ("Opaque", {"user": "me", "password": "ü=1"})
    assert await kubectl.run("create", "serviceaccount", "app") == "serviceaccount/app created\n"
    assert await kubectl.run("create", "configmap", "app", "--from-literal=a=ü") == "configmap/app created\n"
    assert json.loads(await kubectl.run("get", "configmap", "app", "-o", "json"))["data"] == {"a": "ü"}
