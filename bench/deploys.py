"""A deploy, from the request to its end, against kubectl on the same cluster; and a hundred of them at once."""

import asyncio
import base64
import json
import shutil
import ssl
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import httpx
import yaml

from bench.report import line
from bench.rig import Rig
from sandbox.story.image_writer import sample_app_image
from sandbox.story.push import push

_ROUNDS = 10
_AT_ONCE = 100


async def measure(rig: Rig) -> None:
    """Medians of new workloads of one pod; both sides ask the same API server for the same objects."""
    async with httpx.AsyncClient(
        base_url=rig.service.url, headers={"Authorization": f"Bearer {rig.key}"}, timeout=120, trust_env=False
    ) as client:
        uri = await _push(client)
        ours = [await _deploy(client, f"ours-{number}") for number in range(_ROUNDS)]
        await _compare(rig, uri, statistics.median(ours))
        async with _administrator(rig) as kube:
            noticed = [await _notice(client, kube, f"noticed-{number}") for number in range(_ROUNDS)]
        calls = len(await _calls(rig))
        started = time.perf_counter()
        await asyncio.gather(*(_deploy(client, f"many-{number}") for number in range(_AT_ONCE)))
        took = time.perf_counter() - started
        each = (len(await _calls(rig)) - calls) / _AT_ONCE
    line("from ready pods to the answer", f"{statistics.median(noticed) * 1000:.0f} ms", "-", "-", "under 100 ms")
    line(f"{_AT_ONCE} deploys at once, until the last is over", f"{took:.1f} s", "-", "-", "")
    line("requests to the API server for each of them", f"{each:.1f}", "-", "-", "")
    line("memory after them", f"{rig.service.memory_mib():.0f} MiB", "-", "-", "")


async def _push(client: httpx.AsyncClient) -> str:
    token = await client.post("/v1/tokens", json={"repositories": ["bench"], "actions": ["pull", "push"]})
    login = token.raise_for_status().json()
    where = {"host": login["host"], "repository": "bench", "tag": "1"}
    image = sample_app_image("0.0.1", "slim")
    await asyncio.to_thread(push, image, **where, username=login["username"], password=login["password"])
    return str((await client.get("/v1/images/bench:1", headers={"Accept": "text/plain"})).text.strip())


async def _deploy(client: httpx.AsyncClient, name: str) -> float:
    asked = {"cluster": "demo", "name": name, "image": "bench:1", "port": 8080}
    started = time.perf_counter()
    answer = await client.post("/v1/deployments?wait=100", json=asked)
    if answer.status_code != 200:  # noqa: PLR2004 - succeeded
        raise RuntimeError(answer.text)
    return time.perf_counter() - started


async def _compare(rig: Rig, uri: str, mine: float) -> None:
    if not (kubectl := shutil.which("kubectl")):
        line("deploy to succeeded", f"{mine * 1000:.0f} ms", "-", "-", "needs kubectl")
        return
    theirs = [await asyncio.to_thread(_apply, kubectl, rig, uri, f"theirs-{number}") for number in range(_ROUNDS)]
    reference = statistics.median(theirs)
    line(
        "deploy to succeeded, kubectl as reference",
        f"{mine * 1000:.0f} ms",
        f"{reference * 1000:.0f} ms",
        f"{mine / reference:.2f}x",
        "no slower",
    )


def _apply(kubectl: str, rig: Rig, uri: str, name: str) -> float:
    """`kubectl apply` and `kubectl rollout status` of the same objects."""
    labels = {"app.kubernetes.io/name": name}
    container = {"name": name, "image": uri, "ports": [{"containerPort": 8080}]}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": labels}, "template": pod}
    port = {"port": 8080, "targetPort": 8080}
    made = [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"type": "NodePort", "selector": labels, "ports": [port]},
        },
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        Path(file.name).write_text(yaml.safe_dump_all(made))
        start = [kubectl, "--kubeconfig", rig.kubeconfig]
        started = time.perf_counter()
        for rest in (
            ["apply", "--server-side", "--validate=false", "-f", file.name],
            ["rollout", "status", f"deployment/{name}"],
        ):
            subprocess.run([*start, *rest], check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - kubectl
        return time.perf_counter() - started


def _administrator(rig: Rig) -> httpx.AsyncClient:
    """A client of the cluster's own API, with every right."""
    document = yaml.safe_load(Path(rig.kubeconfig).read_text())
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    headers = {"Authorization": f"Bearer {user['token']}"}
    return httpx.AsyncClient(base_url=cluster["server"], verify=context, headers=headers, trust_env=False)


async def _notice(client: httpx.AsyncClient, kube: httpx.AsyncClient, name: str) -> float:
    """Seconds from when another watcher sees the Deployment complete until the caller has the answer."""
    query = {"watch": "true", "fieldSelector": f"metadata.name={name}"}
    async with kube.stream("GET", "/apis/apps/v1/namespaces/default/deployments", params=query) as changes:
        deploying = asyncio.create_task(_deploy(client, name))
        async for text in changes.aiter_lines():
            if json.loads(text)["object"].get("status", {}).get("availableReplicas"):
                break
        complete = time.perf_counter()
        await deploying
        return time.perf_counter() - complete


async def _calls(rig: Rig) -> list[object]:
    """What the API server was asked so far."""
    async with httpx.AsyncClient(base_url=rig.endpoint, trust_env=False) as sandbox:
        return [one for one in (await sandbox.get("/_sandbox/calls")).json() if one["service"] == "kube"]
