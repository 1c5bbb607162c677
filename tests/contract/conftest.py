"""Tools of npm for the contract, installed by its lock file into a folder of the run."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Protocol

import pytest

_SOURCES = Path(__file__).with_name("typescript")


class Npm(Protocol):
    folder: Path

    def __call__(self, *command: str, **environment: str) -> str: ...


class _Installed:
    """Runs an installed tool in the folder of the TypeScript sources, and gives what it printed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *command: str, **environment: str) -> str:
        bins = self.folder / "node_modules" / ".bin"
        done = subprocess.run(  # noqa: S603 - tools of the lock file
            command,
            cwd=self.folder,
            env=os.environ | {"PATH": f"{bins}:{os.environ['PATH']}", "NO_COLOR": "1"} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-8000:]}{done.stderr[-8000:]}"
        return done.stdout


@pytest.fixture(scope="session")
def npm(tmp_path_factory: pytest.TempPathFactory) -> Npm:
    folder = tmp_path_factory.mktemp("npm") / "client"
    shutil.copytree(_SOURCES, folder)
    run = _Installed(folder)
    run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    return run
