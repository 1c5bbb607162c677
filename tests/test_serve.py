"""`wharfinger serve` as it is typed: other tests fork it from a process that has imported it."""

import os
import re
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

from tests.command_line import run
from tests.databases import SqliteTemplate

# Alembic is for a database that is behind, psycopg for PostgreSQL, httpcore for the first config of an image.
LOADED_LATER = {"alembic", "psycopg", "httpcore"}


def test_served_is_what_the_settings_say_until_it_is_told_to_stop(
    sqlite_template: SqliteTemplate, tmp_path: Path
) -> None:
    settings = tmp_path / "wharfinger.toml"
    environment = os.environ | {"WHARFINGER__SETTINGS_FILE": str(settings)}
    command = [sys.executable, "-X", "importtime", "-m", "api.cli", "serve"]
    with sqlite_template.database(tmp_path) as url:
        settings.write_text(f'port = 0\ndatabase.url = "{url}"')
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 - ours
            assert process.stderr
            starting = "".join(
                takewhile(lambda line: "Uvicorn running on http://127.0.0.1" not in line, process.stderr)
            )
            process.terminate()
            log = process.stderr.read()
    assert "Application startup complete" in starting
    assert "Application shutdown complete" in log
    assert not LOADED_LATER & set(re.findall(r"^import time:.*\| *(\w+)$", starting, re.MULTILINE))


def test_a_forked_command_line_has_arguments_environment_and_outcome_of_its_own() -> None:
    wrong = run("serve", environment={"WHARFINGER__PORT": "many"})
    told = run("--version", environment={})
    assert (wrong.returncode, told.returncode) == (2, 0)
    assert "port" in wrong.stderr
    assert told.stdout.startswith("wharfinger ")
