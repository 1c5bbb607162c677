"""The service as a process of its own: started, asked over TCP, killed."""

import os
import signal
import socket
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import httpx

from tests import command_line

_START_TIMEOUT = 60.0
_POLL = 0.02


class ServiceProcess:
    """`wharfinger serve` on a port that it keeps over restarts. Settings are a TOML text, without host and port."""

    def __init__(self, folder: Path, settings: str) -> None:
        self._log = folder / "service.log"
        self._file = folder / "wharfinger.toml"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._file.write_text(f'port = {port}\ndata_dir = "{folder}"\n{settings}')
        self._process: BaseProcess | None = None

    def start(self, *options: str) -> None:
        """Start it, and wait until it is ready."""
        environment = os.environ | {"WHARFINGER__SETTINGS_FILE": str(self._file)}
        self._process = command_line.start("serve", *options, environment=environment, out=self._log, err=self._log)
        ends = time.monotonic() + _START_TIMEOUT
        with httpx.Client(base_url=self.url) as client:
            while not _is_ready(client):
                assert self._process.is_alive(), self.log()
                assert time.monotonic() < ends, self.log()
                time.sleep(_POLL)

    @property
    def pid(self) -> int:
        assert self._process
        assert self._process.pid
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL, as when a node dies."""
        self._end(signal.SIGKILL)

    def terminate(self) -> int:
        """SIGTERM, and wait; gives the exit status."""
        return self._end(signal.SIGTERM)

    def tell(self, number: signal.Signals) -> None:
        """Send a signal without waiting."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Wait until it has ended; gives the exit status."""
        assert self._process
        self._process.join(_START_TIMEOUT)
        assert self._process.exitcode is not None, self.log()
        return self._process.exitcode

    def log(self) -> str:
        return self._log.read_text()

    def stop(self) -> None:
        """Whatever state it is in."""
        if self._process and self._process.is_alive():
            self.kill()

    def client(self, secret: str) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {secret}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30)

    def _end(self, number: signal.Signals) -> int:
        self.tell(number)
        return self.wait()


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").is_success
    except httpx.TransportError:
        return False
