"""The sandbox as a whole: its state, and a thread that serves every account and Region on loopback."""

import asyncio
import base64
import contextlib
import socket
import tempfile
import threading
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sandbox.app import Application, World
from sandbox.aws.ecr.layer_host import LayerHost
from sandbox.aws.ecr.registry import vend_login
from sandbox.aws.eks.nodes import NodeSources
from sandbox.aws.eks.shapes import ClusterFacts
from sandbox.aws.identities import OPERATOR, SERVICE_USER, Credentials, Identities
from sandbox.aws.issuer import Issuer
from sandbox.calls import Call, Calls
from sandbox.clock import CLOCK
from sandbox.faults import TRANSPORT, Fault, Faults, Hold, Kind, When
from sandbox.kube.cluster import CLUSTER, Cluster
from sandbox.kube.tls import Certificates
from sandbox.places import MAIN_ACCOUNT, MAIN_REGION, PLACES, Hosts, Place
from sandbox.state import State

_BACKLOG = 2048
_PORTS_FILE = "ports"
_CLUSTER_PORT_FILE = "cluster-port"
_LAYER_PORT_FILE = "layer-port"
_MAIN = Place(MAIN_ACCOUNT, MAIN_REGION)


class Sandbox:
    """Accounts 111111111111 and 222222222222 on this machine. With `data`, its state and ports outlive it.

    One at a time in a process: moto's state, where users and roles are kept, is the process's.
    """

    def __init__(self, *, data: Path | None = None) -> None:
        self._stack = ExitStack()
        folder = data or Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="sandbox-")))
        state = State(folder)
        self._stack.callback(state.close)
        self._sockets = _listen(folder / _PORTS_FILE)
        ports = {place: listener.getsockname()[1] for place, listener in self._sockets.items()}
        self._kube_socket = _listen_at(folder / _CLUSTER_PORT_FILE)
        layer_socket = _listen_at(folder / _LAYER_PORT_FILE)
        hosts = Hosts(ports, layer_socket.getsockname()[1])
        identities, calls, faults = Identities(state), Calls(), Faults()
        self._cluster = Cluster(folder, state=state, identities=identities, hosts=hosts, calls=calls, faults=faults)
        facts = self._facts()
        self._world = World(
            state=state,
            identities=identities,
            issuer=Issuer(folder / "issuer-key.pem"),
            hosts=hosts,
            calls=calls,
            faults=faults,
            cluster=facts,
            access_entries=self._cluster.entries,
            node_sources=NodeSources(state, facts),
        )
        self._loop = asyncio.new_event_loop()
        self._servers = {
            **{listener: _server(Application(self._world, place)) for place, listener in self._sockets.items()},
            self._kube_socket: _server(self._cluster.api, self._cluster.certificates),
            layer_socket: _server(LayerHost(state)),
        }
        self._thread = threading.Thread(target=self._serve, name="sandbox", daemon=True)

    def __enter__(self) -> Self:
        self._world.identities.seed()
        started = threading.Event()
        self._loop.call_soon(started.set)
        self._thread.start()
        started.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._world.faults.clear()
        for server in self._servers.values():
            server.should_exit = True
        self._thread.join()
        CLOCK.reset()
        self._stack.close()

    def endpoint(self, account: str = MAIN_ACCOUNT, region: str = MAIN_REGION) -> str:
        """The URL of ECR, STS and the rest of AWS for an account and Region."""
        return f"http://{self.host(account, region)}"

    def host(self, account: str = MAIN_ACCOUNT, region: str = MAIN_REGION) -> str:
        """The registry's host, as `docker login` takes it: `127.0.0.1:PORT`."""
        return self._world.hosts.of(Place(account, region))

    def kube_endpoint(self) -> str:
        """The URL of the Kubernetes API of the one cluster, which EKS calls `CLUSTER`."""
        return f"https://127.0.0.1:{self._kube_socket.getsockname()[1]}"

    def kubeconfig(self) -> str:
        """YAML of a kubeconfig whose context, `sandbox`, is the cluster's administrator."""
        return self._cluster.kubeconfig(self.kube_endpoint())

    def credentials(self, user: str = OPERATOR, account: str = MAIN_ACCOUNT) -> Credentials:
        """An IAM user's access key. `operator` is administrator of its account."""
        return self._world.identities.credentials(account, user)

    def service_account_token(self, namespace: str, name: str) -> str:
        """What a pod under a service account of the cluster holds, to become an IAM role that trusts it (IRSA)."""
        return self._world.issuer.token(namespace, name)

    def environment(self) -> dict[str, str]:
        """The variables by which an AWS SDK becomes the IAM user that wharfinger runs as."""
        mine = self.credentials(SERVICE_USER)
        return {
            "AWS_ACCESS_KEY_ID": mine.access_key,
            "AWS_SECRET_ACCESS_KEY": mine.secret_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def docker_login(self, account: str = MAIN_ACCOUNT, region: str = MAIN_REGION) -> tuple[str, str]:
        """User name and password that the account's own operator logs in with, at any registry of the Region."""
        access_key = self.credentials(OPERATOR, account).access_key
        answer = self._in_loop(vend_login, self._world.registry(Place(account, region)), access_key)
        decoded = base64.b64decode(answer["authorizationData"][0]["authorizationToken"]).decode()
        username, _, password = decoded.partition(":")
        return username, password

    def calls(self) -> list[Call]:
        """What was asked so far, oldest first; the latest hundred thousand."""
        return self._world.calls.all()

    def fault(
        self, operation: str, kind: Kind, *, when: When = "before", times: int = 1, seconds: float = 0.0
    ) -> Fault:
        """Let something befall the next `times` calls of an operation (`*`: of any)."""
        return self._world.faults.add(operation, kind, when=when, times=times, seconds=seconds)

    def hold(self, operation: str, *, when: When = "before") -> Hold:
        """Stop the next call of an operation before or after it acts, until it is released or dropped."""
        return self._world.faults.hold(operation, when=when)

    def advance(self, by: timedelta) -> None:
        """Put the clock forward: what was to happen or to expire until then does so now."""
        CLOCK.advance(by)

    def reset(self) -> None:
        """Forget everything but the ports and the seeded users' access keys; the clock tells the machine's time."""
        self._world.faults.clear()
        CLOCK.reset()
        self._in_loop(self._forget)

    def _forget(self) -> None:
        self._world.state.reset()
        self._world.identities.seed()
        self._cluster.reset()
        self._world.node_sources.reset()
        self._world.calls.forget()

    def _in_loop(self, function: Any, *arguments: object) -> Any:  # noqa: ANN401 - gives what the function gives
        async def call() -> Any:  # noqa: ANN401 - as above
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve_all())
        self._loop.close()

    async def _serve_all(self) -> None:
        cluster = asyncio.create_task(self._cluster.run(), name="cluster")
        await asyncio.gather(*(server.serve([listener]) for listener, server in self._servers.items()))
        cluster.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await cluster

    def _facts(self) -> ClusterFacts:
        authority = self._cluster.certificates.authority
        return ClusterFacts(
            name=CLUSTER,
            place=_MAIN,
            endpoint=self.kube_endpoint(),
            authority=base64.b64encode(authority.read_bytes()).decode(),
            created_at=authority.stat().st_mtime,
        )


class _Protocol(HttpToolsProtocol):
    """Lets the application cut the connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[TRANSPORT] = self.transport  # type: ignore[literal-required] # ours, beside those of ASGI


def _server(app: ASGIApp, certificates: Certificates | None = None) -> uvicorn.Server:
    """Speaks TLS where it is given certificates."""
    config = uvicorn.Config(
        app,
        http=_Protocol,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        backlog=_BACKLOG,
        ssl_certfile=certificates.server if certificates else None,
        ssl_keyfile=certificates.key if certificates else None,
    )
    return uvicorn.Server(config)


def _listen_at(port_file: Path) -> socket.socket:
    """A listening socket on the port of the last time, if there was one and it is free."""
    listener = _bound(int(port_file.read_text()) if port_file.exists() else 0)
    port_file.write_text(str(listener.getsockname()[1]))
    return listener


def _listen(ports_file: Path) -> dict[Place, socket.socket]:
    """A listening socket for each place, on the ports of the last time if there was one and they are free."""
    before = [int(port) for port in ports_file.read_text().split()] if ports_file.exists() else [0] * len(PLACES)
    sockets = {Place(*place): _bound(port) for place, port in zip(PLACES, before, strict=True)}
    ports_file.write_text(" ".join(str(one.getsockname()[1]) for one in sockets.values()))
    return sockets


def _bound(port: int) -> socket.socket:
    # With the protocol named: asyncio turns Nagle off only where it knows that it is TCP.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.bind(("127.0.0.1", 0))
    listener.listen(_BACKLOG)
    return listener
