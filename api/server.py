"""The process: uvicorn, told how this service starts and how it stops. More of them are more replicas."""

import asyncio
import gc
import socket
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import cast

import uvicorn

from api.app import create
from api.http.connections import GuardedProtocol
from api.http.deps import READINESS
from api.http.logs import configure_logs
from service.base.settings import Settings


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then say not ready, let requests in flight finish, and return."""
    configure_logs(settings.log_level)
    config = uvicorn.Config(
        create(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        # The address of the client is recorded: a header is believed of the proxies that are named, and of no others.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=[str(one) for one in settings.trusted_proxies],
        http=cast("type[asyncio.Protocol]", _guarded(settings)),
        ws="none",
        timeout_keep_alive=round(settings.deadlines.idle.total_seconds()),
        timeout_graceful_shutdown=round(settings.deadlines.drain.total_seconds()),
    )
    _Server(config, delay=settings.deadlines.drain_delay.total_seconds()).run()


def _guarded(settings: Settings) -> Callable[..., asyncio.Protocol]:
    seconds = settings.deadlines.headers.total_seconds()
    return partial(GuardedProtocol, header_bytes=settings.limits.header_bytes, header_seconds=seconds)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, *, delay: float) -> None:
        super().__init__(config)
        self._delay = delay
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        # What start-up made stays: the collector need not look at it again and again.
        gc.freeze()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Not ready at once; the listener closes `delay` later, when load balancers have seen it."""
        # Told to stop before start-up is over, there is no lifespan yet, nor a request to wait for.
        readiness = self.lifespan.state.get(READINESS) if self.started else None
        if self._loop is None or readiness is None or readiness.is_draining or not self._delay:
            super().handle_exit(sig, frame)
        else:
            self._loop.call_later(self._delay, super().handle_exit, sig, frame)
        if self._loop is not None and readiness is not None:
            self._loop.call_soon_threadsafe(readiness.ending.set)
