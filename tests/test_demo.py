"""The demo as somebody runs it: it says what a second terminal needs, and leaves nothing running."""

import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

_ROOT = Path(__file__).parents[1]
_ASK = """
set -euo pipefail
{exports}
curl -sS --fail-with-body -H "$AUTH" "$URL/v1/images/myapp:0.0.2"
cat "$KUBECONFIG"
{python} -m api.cli keys create --role deployer --label cd --cluster demo --repository '*'
{python} -m api.cli keys list
"""
_NAMES = ("URL", "AUTH", "KUBECONFIG", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@contextmanager
def _demo(*options: str) -> Iterator[subprocess.Popen[str]]:
    """In a process group of its own, so that whatever it leaves can be found, and ended."""
    command = [sys.executable, "-m", "api.cli", "demo", *options]
    with subprocess.Popen(  # noqa: S603 - ours
        command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            if _is_running(process.pid):
                os.killpg(process.pid, signal.SIGKILL)


def _is_running(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _read_until(process: subprocess.Popen[str], start: str) -> list[str]:
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(start):
            return lines
    assert process.stderr
    pytest.fail("".join(lines) + process.stderr.read())


def test_it_says_what_a_second_terminal_needs_and_leaves_nothing_when_told_to_end(port: int, tmp_path: Path) -> None:
    with _demo("--port", str(port), "--data", str(tmp_path)) as process:
        told = _read_until(process, "The registry is")
        exports = [line for line in told if line.startswith("export ")]
        script = _ASK.format(exports="".join(exports), python=shlex.quote(sys.executable))
        asked = subprocess.run(  # noqa: S603 - what the demo printed
            ["/bin/bash", "-c", script], cwd=_ROOT, capture_output=True, text=True, check=False
        )
        assert asked.returncode == 0, asked.stderr
        assert '"repository":"myapp"' in asked.stdout
        assert "clusters:" in asked.stdout
        assert "\tadmin\t" in asked.stdout
        assert [name for name in _NAMES if f"{name}=" not in "".join(exports)] == []
        os.kill(process.pid, signal.SIGTERM)
        process.communicate()
        assert process.returncode == 128 + signal.SIGTERM
        assert not _is_running(process.pid)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/healthz")


def test_with_the_folder_of_the_last_time_it_serves_what_is_there(port: int, tmp_path: Path) -> None:
    (tmp_path / "wharfinger").mkdir()
    with _demo("--port", str(port), "--data", str(tmp_path)) as process:
        told = _read_until(process, "The registry is")
        os.kill(process.pid, signal.SIGTERM)
        process.communicate()
    assert "before is there again" in "".join(told)
    assert "1. A repository" not in "".join(told)


def test_told_to_end_in_the_middle_of_the_story_it_leaves_nothing(port: int, tmp_path: Path) -> None:
    with _demo("--port", str(port), "--data", str(tmp_path)) as process:
        _read_until(process, "1. A repository")
        os.kill(process.pid, signal.SIGTERM)
        process.communicate()
        assert not _is_running(process.pid)


def test_a_port_that_is_taken_is_told_before_anything_is_started(port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with _demo("--port", str(port)) as process:
            said, complaint = process.communicate()
    assert process.returncode == 2
    assert said == ""
    assert f"port {port} of 127.0.0.1" in complaint
    assert "make demo PORT=" in complaint


def test_a_port_that_there_is_not_is_told() -> None:
    with _demo("--port", "65536") as process:
        _, complaint = process.communicate()
    assert process.returncode == 2
    assert "65536 is not in the range" in complaint


def test_make_passes_the_port_on() -> None:
    done = subprocess.run(
        ["make", "--dry-run", "demo", "PORT=8123", "ONCE=1"],  # noqa: S607 - as the README has it
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "demo --once --port 8123" in done.stdout
