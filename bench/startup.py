"""From start to ready, against a bare process that imports the same libraries; and what a process weighs."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.report import line
from bench.rig import process

_ROUNDS = 5
_LIBRARIES = (
    "aiobotocore.session, aiobotocore.httpsession, aiosqlite, fastapi, prometheus_client, "
    "pydantic_settings, sqlalchemy.ext.asyncio, sqlmodel, stamina, structlog, typer, uuid_utils, uvicorn, uvloop, "
    "httptools, yaml"
)


def measure() -> None:
    """Medians of whole processes, in turn, with a database that is already migrated."""
    ours: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(_ROUNDS + 1):
            bare.append(_seconds_to_import())
            seconds, memory = _seconds_to_ready(Path(folder))
            ours.append(seconds)
    mine, reference = statistics.median(ours[1:]), statistics.median(bare[1:])
    line("start to ready", f"{mine:.2f} s", f"{reference:.2f} s", f"{mine / reference:.2f}x", "1.3x at most")
    line("memory when ready", f"{memory:.0f} MiB", "", "", "under 150 MiB")


def _seconds_to_import() -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {_LIBRARIES}"], check=True)  # noqa: S603 - ours
    return time.perf_counter() - started


def _seconds_to_ready(folder: Path) -> tuple[float, float]:
    started = time.perf_counter()
    with process(
        "-m", "api.cli", "serve", path="/readyz", environment={"WHARFINGER__DATA_DIR": str(folder)}
    ) as service:
        return time.perf_counter() - started, service.memory_mib()
