"""A change of a cluster whose time passes while it is on its way out: nothing of it is written."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from sandbox.kube.tls import Certificates, certificates
from service.base.clock import running, utcnow
from service.base.errors import DeadlineError
from service.base.permits import Permit, Term, permit
from service.base.telemetry import CLUSTER_CALLS
from service.clients.kube.client import Kube, eks_config
from service.models.workloads import MANAGER
from tests.service.machine import Machine

pytestmark = pytest.mark.asyncio

METADATA = {"name": "myapp", "namespace": "default", "uid": "1", "resourceVersion": "1"}
FOUND = {"apiVersion": "v1", "kind": "Service", "metadata": METADATA}
MADE = FOUND | {"metadata": {"name": "myapp", "namespace": "default"}}
CHANGES: dict[str, Callable[[Kube], Awaitable[object]]] = {
    "apply": lambda kube: kube.apply(MADE, "default", force=False),
    "set managers": lambda kube: kube.set_managers(FOUND, []),
    "delete": lambda kube: kube.delete(FOUND),
}


@dataclass(slots=True)
class Slow:
    """An API server whose handshakes take a minute each: of the clock, not of the test."""

    machine: Machine = field(default_factory=Machine)
    received: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.received.put_nowait(await reader.read(1))
        except ConnectionError:
            self.received.put_nowait(b"")
        writer.close()

    def context(self, files: Certificates) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(files.server, files.key)
        context.sni_callback = lambda *_: self.machine.wait(timedelta(minutes=1))
        return context


@pytest_asyncio.fixture
async def slow(tmp_path: Path) -> AsyncIterator[Slow]:
    made = Slow()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=made.context(certificates(tmp_path)))
    made.port = server.sockets[0].getsockname()[1]
    with running(made.machine.boot()):
        yield made
    server.close()
    await server.wait_closed()


@pytest_asyncio.fixture
async def kube(slow: Slow, tmp_path: Path) -> AsyncIterator[Kube]:
    authority = base64.b64encode(certificates(tmp_path).authority.read_bytes()).decode()
    config = eks_config("demo", f"https://127.0.0.1:{slow.port}", authority)
    made = Kube("demo", config, manager=MANAGER, identity="an administrator")
    yield made
    await made.close()


def counted() -> float:
    """Requests to clusters, whatever came of them."""
    samples = (sample for metric in CLUSTER_CALLS.collect() for sample in metric.samples)
    return sum(sample.value for sample in samples if sample.name.endswith("_total"))


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_whose_time_passes_in_the_handshake_is_not_sent(slow: Slow, kube: Kube, change: str) -> None:
    before, leave = counted(), Permit("operation-1", Term(utcnow() + timedelta(seconds=3)))
    token = permit.set(leave)
    with pytest.raises(DeadlineError):
        await CHANGES[change](kube)
    permit.reset(token)
    assert leave.is_held_back
    assert counted() == before
    assert await slow.received.get() == b""


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_whose_time_is_over_does_not_even_connect(slow: Slow, kube: Kube, change: str) -> None:
    leave = Permit("operation-1", Term(utcnow() - timedelta(seconds=3)))
    token = permit.set(leave)
    with pytest.raises(DeadlineError):
        await CHANGES[change](kube)
    permit.reset(token)
    assert (leave.is_sent, slow.received.empty()) == (False, True)
