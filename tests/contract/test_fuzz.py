"""schemathesis against the running service: no 5xx of ours, no undocumented answer."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.server import Sandbox
from tests.marks import only_sqlite
from tests.service_process import ServiceProcess

_CONTRACT = Path(__file__).parents[2] / "openapi.yaml"
_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "ignored_auth",
)
"""Not those that take each schema-valid request for one to be accepted: a schema can't say that a time is past."""


@only_sqlite
@pytest.mark.asyncio
async def test_every_answer_is_one_that_the_contract_names(
    service: ServiceProcess, secret: str, aws: Sandbox, tmp_path: Path
) -> None:
    service.start()
    command = [str(Path(sys.executable).with_name("st")), "run", str(_CONTRACT), "--url", service.url]
    command += ["--header", f"Authorization: Bearer {secret}", "--seed", "1", "--max-examples", "20"]
    command += ["--phases", "examples,coverage,fuzzing", "--checks", ",".join(_CHECKS), "--continue-on-failure"]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=tmp_path,
        env=os.environ | {"NO_COLOR": "1"},
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-8000:]
    assert aws.calls()
    assert "Traceback" not in service.log()
