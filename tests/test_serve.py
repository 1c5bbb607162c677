"""`wharfinger serve` as it is typed: other tests fork it from a process that has imported it."""

import os
import subprocess
import sys
from pathlib import Path

from tests.command_line import run


def test_served_is_what_the_settings_say_until_it_is_told_to_stop(tmp_path: Path) -> None:
    settings = tmp_path / "wharfinger.toml"
    settings.write_text(f'port = 0\ndata_dir = "{tmp_path}"')
    environment = os.environ | {"WHARFINGER__SETTINGS_FILE": str(settings)}
    command = [sys.executable, "-m", "api.cli", "serve"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 - ours
        assert process.stderr
        assert any("Uvicorn running on http://127.0.0.1" in line for line in process.stderr)
        process.terminate()
        log = process.stderr.read()
    assert "Application shutdown complete" in log


def test_a_forked_command_line_has_arguments_environment_and_outcome_of_its_own() -> None:
    wrong = run("serve", environment={"WHARFINGER__PORT": "many"})
    told = run("--version", environment={})
    assert (wrong.returncode, told.returncode) == (2, 0)
    assert "port" in wrong.stderr
    assert told.stdout.startswith("wharfinger ")
