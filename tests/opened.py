"""A started app beside its services, for a test that says itself when the sweep looks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from starlette.types import ASGIApp

from api.app import lifespan_of
from api.http.deps import CONTAINER
from service.base.settings import Settings
from service.container import Container


@asynccontextmanager
async def opened(app: FastAPI, settings: Settings) -> AsyncIterator[tuple[ASGIApp, Container]]:
    """The app as it is called, and its services."""
    containers: list[Container] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, object]]:
        async with lifespan_of(settings)(app) as state:
            container = state[CONTAINER]
            assert isinstance(container, Container)
            containers.append(container)
            yield state

    app.router.lifespan_context = lifespan
    async with LifespanManager(app) as manager:
        yield manager.app, containers[0]
