"""A pipeline's line for a token: curl against the AWS command line, as whole processes."""

import os
import shutil
import statistics
import subprocess
import time

from bench.report import line
from bench.rig import Rig

_ROUNDS = 5


def measure(rig: Rig) -> None:
    """Medians of whole processes, in turn; says so where a client is missing."""
    aws, curl = shutil.which("aws"), shutil.which("curl")
    if not aws or not curl:
        line("curl for a token, whole process", "-", "-", "-", "needs curl and the aws CLI")
        return
    ask_us = [curl, "-fsS", "-X", "POST", f"{rig.service.url}/v1/tokens", "-H", f"Authorization: Bearer {rig.key}"]
    ask_us += ["-H", "Accept: text/plain", "-H", "Content-Type: application/json"]
    ask_us += ["-d", '{"repositories":["bench"],"actions":["pull"]}']
    ask_aws = [aws, "ecr", "get-login-password", "--region", "eu-central-1", "--endpoint-url", rig.endpoint]
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(_ROUNDS):
        ours.append(_seconds(ask_us, rig.environment))
        theirs.append(_seconds(ask_aws, rig.environment))
    mine, reference = statistics.median(ours) * 1000, statistics.median(theirs) * 1000
    line(
        "curl for a token, whole process",
        f"{mine:.1f} ms",
        f"{reference:.0f} ms",
        f"{reference / mine:.0f}x",
        "50x faster",
    )


def _seconds(command: list[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | environment)  # noqa: S603 - ours
    return time.perf_counter() - started
