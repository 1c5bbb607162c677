"""The processes that a benchmark needs: the sandbox, the service and a key."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

_TIMEOUT = 60.0
_POLL = 0.005


@dataclass(frozen=True, slots=True)
class Running:
    """A server process that answers."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def memory_mib(self) -> float:
        """Resident memory now."""
        [resident] = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        return int(resident) / 1024


@dataclass(frozen=True, slots=True)
class Rig:
    """A service with one repository, `bench`, and a key of an admin."""

    service: Running
    endpoint: str
    key: str
    environment: dict[str, str]
    kubeconfig: str
    """Of the cluster's admin."""

    @property
    def credentials(self) -> dict[str, str]:
        return {
            "aws_access_key_id": self.environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": self.environment["AWS_SECRET_ACCESS_KEY"],
        }


@contextmanager
def process(*arguments: str, path: str, environment: Mapping[str, str] | None = None) -> Iterator[Running]:
    """`python ARGUMENTS` with `{port}` filled in, once `path` answers; ended afterwards.

    :raises RuntimeError: it ended by itself, or does not answer within a minute.
    """
    port = _free_port()
    command = [sys.executable, *(argument.replace("{port}", str(port)) for argument in arguments)]
    variables = os.environ | {"WHARFINGER__PORT": str(port), "WHARFINGER__LOG_LEVEL": "error"} | dict(environment or {})
    started = subprocess.Popen(command, env=variables)  # noqa: S603 - our own programs
    try:
        _wait(started, f"http://127.0.0.1:{port}{path}")
        yield Running(port, started.pid)
    finally:
        started.terminate()
        started.wait(_TIMEOUT)


@contextmanager
def rig() -> Iterator[Rig]:
    """The sandbox and the service, each in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch, _sandbox() as sandbox:
        endpoint = sandbox["endpoints"]["111111111111/eu-central-1"]
        environment = sandbox["wharfinger"] | _settings(Path(scratch), endpoint)
        key = subprocess.run(
            [sys.executable, "-m", "api.cli", "keys", "create", "--role", "admin", "--label", "bench"],
            env=os.environ | environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        with process("-m", "api.cli", "serve", path="/readyz", environment=environment) as service:
            made = httpx.post(
                f"{service.url}/v1/repositories", json={"name": "bench"}, headers={"Authorization": f"Bearer {key}"}
            )
            made.raise_for_status()
            yield Rig(service, endpoint, key, environment | sandbox["operators"]["111111111111"], sandbox["kubeconfig"])


@contextmanager
def _sandbox() -> Iterator[Any]:
    started = subprocess.Popen([sys.executable, "-m", "sandbox"], stdout=subprocess.PIPE, text=True)
    try:
        yield json.loads(started.stdout.readline() if started.stdout else "")
    finally:
        started.terminate()
        started.communicate(timeout=_TIMEOUT)


def _settings(folder: Path, endpoint: str) -> dict[str, str]:
    file = folder / "wharfinger.toml"
    file.write_text(
        f"""
data_dir = "{folder}"

[[registries]]
name = "main"
account_id = "111111111111"
region = "eu-central-1"
role = "arn:aws:iam::111111111111:role/wharfinger"
broker_role = "arn:aws:iam::111111111111:role/wharfinger-broker"
endpoint = "{endpoint}"

[[clusters]]
name = "demo"
"""
    )
    return {"WHARFINGER__SETTINGS_FILE": str(file)}


def _wait(started: subprocess.Popen[bytes], url: str) -> None:
    ends = time.monotonic() + _TIMEOUT
    while time.monotonic() < ends and started.poll() is None:
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            time.sleep(_POLL)
    raise RuntimeError(f"{url} does not answer")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
