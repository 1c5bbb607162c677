"""Node ports that are really listened on, while a ready pod stands behind them."""

import asyncio
import contextlib
import itertools
import json
import logging
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from sandbox.kube.kinds import NODE, POD, SERVICE
from sandbox.kube.manager import Key
from sandbox.kube.replica_sets import is_ready
from sandbox.kube.store import Change, Object, Store
from sandbox.kube.view import View, key_of

_TYPES = ("NodePort", "LoadBalancer")
_BACKLOG = 128
_RETRY = 5.0
"""Seconds until a port that another program had is tried again."""
_PATIENCE = 10.0
"""Seconds that a client has to send its request."""
_LONGEST_BODY = 1 << 20
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_Address = tuple[str, int]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Listener:
    service: Key
    bound: socket.socket


class NodePorts:
    """Listens at each node's address for the Services that ask for it."""

    def __init__(self, store: Store, view: View) -> None:
        self._store = store
        self._view = view
        self._open: dict[_Address, _Listener] = {}
        self._refused: set[_Address] = set()
        self._turn = itertools.count()
        self._answers: set[asyncio.Task[None]] = set()

    def concerns(self, change: Change) -> Iterable[Key]:
        if change.kind is SERVICE:
            yield key_of(change.object)
        elif change.kind is POD:
            namespace = change.object["metadata"]["namespace"]
            yield from (key_of(one) for one in self._view.all(SERVICE, namespace) if _selects(one, change.object))

    def reconcile(self, key: Key) -> float | None:
        service = self._view.find(SERVICE, *key)
        wanted = self._wanted(service) if service else set()
        for address in [one for one, listener in self._open.items() if listener.service == key and one not in wanted]:
            self._close(address)
        for address in sorted(wanted - self._open.keys()):
            self._listen(key, address)
        is_settled = wanted <= self._open.keys()
        return None if is_settled else _RETRY

    async def close(self) -> None:
        for address in list(self._open):
            self._close(address)
        for task in self._answers:
            task.cancel()
        await asyncio.gather(*self._answers, return_exceptions=True)

    def _wanted(self, service: Object) -> set[_Address]:
        if service["spec"].get("type") not in _TYPES or not self._ready_pods(service):
            return set()
        ports = [one["nodePort"] for one in service["spec"].get("ports") or () if _is_tcp(one)]
        addresses = [_internal_ip(node) for node in self._view.all(NODE)]
        return {(address, port) for address in addresses for port in ports}

    def _ready_pods(self, service: Object) -> list[Object]:
        pods = self._view.all(POD, service["metadata"]["namespace"])
        return [one for one in pods if _selects(service, one) and is_ready(one)]

    def _listen(self, key: Key, address: _Address) -> None:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setblocking(False)  # noqa: FBT003 - the name of the method says what
        try:
            bound.bind(address)
            # From here on clients get through: whoever reads that the pod is ready finds its port open.
            bound.listen(_BACKLOG)
        except OSError as error:
            bound.close()
            self._note_refusal(key, address, error)
            return
        self._refused.discard(address)
        self._open[address] = _Listener(key, bound)
        asyncio.get_running_loop().add_reader(bound, self._accept, key, bound)

    def _close(self, address: _Address) -> None:
        bound = self._open.pop(address).bound
        asyncio.get_running_loop().remove_reader(bound)
        bound.close()

    def _accept(self, key: Key, bound: socket.socket) -> None:
        try:
            accepted, _ = bound.accept()
        except OSError:
            # Gone again before we looked.
            return
        task = asyncio.create_task(self._answer(key, accepted))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def _answer(self, key: Key, accepted: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=accepted)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                if (length := _LENGTH.search(head)) and int(length[1]) <= _LONGEST_BODY:
                    await reader.readexactly(int(length[1]))
                writer.write(_response(self._next_pod(key), is_head=head.startswith(b"HEAD ")))
                await writer.drain()
        writer.close()

    def _next_pod(self, key: Key) -> Object | None:
        service = self._view.find(SERVICE, *key)
        pods = self._ready_pods(service) if service else []
        return pods[next(self._turn) % len(pods)] if pods else None

    def _note_refusal(self, key: Key, address: _Address, error: OSError) -> None:
        if address in self._refused:
            return
        self._refused.add(address)
        text = f"can't listen on {address[0]}:{address[1]} for this service: {error.strerror}"
        _log.warning("%s: %s", "/".join(key), text)


def _selects(service: Object, pod: Object) -> bool:
    selector = service["spec"].get("selector") or {}
    labels = pod["metadata"].get("labels") or {}
    return bool(selector) and selector.items() <= labels.items()


def _is_tcp(port: Object) -> bool:
    return bool(port.get("nodePort")) and port.get("protocol", "TCP") == "TCP"


def _internal_ip(node: Object) -> str:
    return str(next(one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP"))


def _response(pod: Object | None, *, is_head: bool) -> bytes:
    told = _told(pod) if pod else {"message": "no ready pod is behind this node port any more"}
    body = json.dumps(told).encode() + b"\n"
    status = "200 OK" if pod else "503 Service Unavailable"
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
    head = f"HTTP/1.1 {status}\r\n{kind}\r\nConnection: close\r\n\r\n"
    return head.encode() + (b"" if is_head else body)


def _told(pod: Object) -> dict[str, str]:
    namespace, name = key_of(pod)
    image = pod["spec"]["containers"][0]["image"]
    said = f"This is the sandbox's stand-in for pod {name} of image {image} in namespace {namespace}: no container runs"
    return {"message": said, "pod": name, "image": image, "namespace": namespace, "node": pod["spec"]["nodeName"]}
