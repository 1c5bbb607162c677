"""`wharfinger` as a process, forked from one that has imported it: to import it anew takes a second of each start."""

import multiprocessing
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

from api.cli.main import main

_forked = multiprocessing.get_context("forkserver")
_forked.set_forkserver_preload(
    [
        __name__,
        "api.server",
        "service.base.migrate",
        "service.base.revisions",
        "service.credentials.keys",
        "service.operations.core",
        "tests.warm",
    ]
)


def start(*arguments: str, environment: Mapping[str, str], out: Path, err: Path) -> BaseProcess:
    """Start it. What it says is added to these files."""
    process = _forked.Process(target=_run, args=(arguments, dict(environment), out, err), daemon=True)
    process.start()
    return process


def run(*arguments: str, environment: Mapping[str, str]) -> "CompletedProcess[str]":
    """Wait until it has ended."""
    with TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = start(*arguments, environment=environment, out=out, err=err)
        process.join()
        assert process.exitcode is not None
        return CompletedProcess(arguments, process.exitcode, out.read_text(), err.read_text())


def _run(arguments: tuple[str, ...], environment: dict[str, str], out: Path, err: Path) -> None:
    os.environ.clear()
    os.environ.update(environment)
    with ExitStack() as stack:
        for descriptor, path in enumerate((out, err), 1):
            os.dup2(stack.enter_context(path.open("ab")).fileno(), descriptor)
    sys.argv = ["wharfinger", *arguments]
    main()
