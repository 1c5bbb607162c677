"""The service as the demo runs it: a process of its own, with an admin's key, gone when the demo is."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from sandbox.places import MAIN_ACCOUNT, MAIN_REGION, OTHER_ACCOUNT
from sandbox.server import Sandbox
from sandbox.story.narrator import StoryError

SETTINGS_VARIABLE = "WHARFINGER__SETTINGS_FILE"
_START_TIMEOUT = 60
_CLUSTER = """
[[clusters]]
name = "demo"
"""


def require_free(port: int) -> None:
    """:raises StoryError: something listens there already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StoryError(
                f"port {port} of 127.0.0.1 can't be had ({error.strerror}): name another, make demo PORT={port + 10}"
            ) from None


@contextmanager
def serving(sandbox: Sandbox, data: Path, port: int) -> Iterator[tuple[str, str]]:
    """The service as a process of its own; gives its URL and an admin key."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_settings(sandbox, data, port)
    environment = os.environ | sandbox.environment() | {SETTINGS_VARIABLE: str(settings_file(data))}
    command = [sys.executable, "-m", "api.cli"]
    key = subprocess.run(  # noqa: S603 - our own command line
        [*command, "keys", "create", "--role", "admin", "--label", "demo"],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.strip()
    with (data / "service.log").open("ab") as log:
        process = subprocess.Popen([*command, "serve"], env=environment, stderr=log)  # noqa: S603 - as above
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(url, process)
            yield url, key
        finally:
            _end(process)


def settings_file(data: Path) -> Path:
    return data.resolve() / "wharfinger.toml"


def _write_settings(sandbox: Sandbox, data: Path, port: int) -> None:
    registries = "\n".join(
        f"""
[[registries]]
name = "{name}"
account_id = "{account}"
region = "{MAIN_REGION}"
role = "arn:aws:iam::{account}:role/wharfinger"
broker_role = "arn:aws:iam::{account}:role/wharfinger-broker"
endpoint = "{sandbox.endpoint(account, MAIN_REGION)}"
"""
        for name, account in (("main", MAIN_ACCOUNT), ("other", OTHER_ACCOUNT))
    )
    places = f'port = {port}\ndata_dir = "{data.resolve()}"\ndefault_registry = "main"'
    settings_file(data).write_text(f"{places}\n{registries}\n{_CLUSTER}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=_START_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise StoryError(f"the service ended at once, with status {process.returncode}")
        try:
            if httpx.get(f"{url}/readyz").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise StoryError(f"the service was not ready after {_START_TIMEOUT} s")
