"""Bad days on demand: a call is delayed, refused, cut off, or held until it is let go, before or after it acted."""

import asyncio
import itertools
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["delay", "throttle", "error", "reset", "close", "hold"]
When = Literal["before", "after"]
TRANSPORT = "sandbox.transport"
"""Where the server puts the connection's transport in the scope, so that it can be cut."""
_AT_ONCE = struct.pack("ii", 1, 0)


class CutError(Exception):
    """The connection is to end without an answer, in good order (FIN): as when a server stops."""

    def cut(self, transport: asyncio.Transport) -> None:
        transport.abort()


class ResetError(CutError):
    """The connection is to be reset (RST): as when a process or a load balancer dies."""

    def cut(self, transport: asyncio.Transport) -> None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        transport.abort()


class FaultError(Exception):
    """The call is to be answered with an error of the service's side."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


@dataclass(slots=True)
class Fault:
    """What befalls the next `times` calls of an operation; `seconds` is for a delay."""

    id: int
    operation: str
    kind: Kind
    when: When
    times: int
    seconds: float

    async def befall(self) -> None:
        """:raises FaultError: :raises CutError:"""
        if self.kind == "delay":
            await asyncio.sleep(self.seconds)
        elif self.kind == "throttle":
            raise FaultError(429, "ThrottlingException")
        elif self.kind == "error":
            raise FaultError(500, "ServerException")
        elif self.kind == "close":
            raise CutError
        else:
            raise ResetError


@dataclass(slots=True)
class Hold(Fault):
    """Stops a call at a point, and tells when it is there. Used from other threads than the loop's."""

    _arrived: threading.Event = field(default_factory=threading.Event)
    _decided: threading.Event = field(default_factory=threading.Event)
    _is_dropped: bool = False
    _wake: "tuple[asyncio.AbstractEventLoop, asyncio.Event] | None" = None

    async def befall(self) -> None:
        woken = asyncio.Event()
        self._wake = (asyncio.get_running_loop(), woken)
        self._arrived.set()
        if not self._decided.is_set():
            await woken.wait()
        if self._is_dropped:
            raise ResetError

    def reached(self, timeout: float) -> bool:
        """Wait until a call stands here; False if none does within so many seconds."""
        return self._arrived.wait(timeout)

    def release(self) -> None:
        """Let the call go on."""
        self._decided.set()
        if self._wake:
            loop, woken = self._wake
            loop.call_soon_threadsafe(woken.set)

    def drop(self) -> None:
        """End the call here: held before it acted, it never does."""
        self._is_dropped = True
        self.release()


class Faults:
    """The faults that are waiting for a call; `*` stands for every operation."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._waiting: list[Fault] = []
        self._known: dict[int, Fault] = {}

    def add(self, operation: str, kind: Kind, *, when: When = "before", times: int = 1, seconds: float = 0.0) -> Fault:
        made = Hold if kind == "hold" else Fault
        fault = made(next(self._ids), operation, kind, when, times, seconds)
        self._known[fault.id] = fault
        self._waiting.append(fault)
        return fault

    def hold(self, operation: str, *, when: When = "before") -> Hold:
        fault = self.add(operation, "hold", when=when)
        if not isinstance(fault, Hold):
            raise TypeError(fault)
        return fault

    def get(self, fault_id: int) -> Fault | None:
        return self._known.get(fault_id)

    async def meet(self, operation: str, when: When) -> None:
        """What a call does at the points where a fault may befall it.

        :raises FaultError: :raises CutError:
        """
        for fault in self._waiting:
            if fault.operation in ("*", operation) and fault.when == when:
                fault.times -= 1
                if fault.times <= 0:
                    self._waiting.remove(fault)
                await fault.befall()
                return

    def clear(self) -> None:
        """Forget all, and let go what is held."""
        for fault in self._known.values():
            if isinstance(fault, Hold):
                fault.release()
        self._waiting.clear()
        self._known.clear()
