"""Every route of the interface, as the framework has them."""

from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from api.app import create
from service.base.settings import Settings

_IN_PATH = {"{name:name}": "team/app", "{reference:name}": "team/app:1", "{name}": "local"}


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str
    operation_id: str
    tags: tuple[str, ...]

    @property
    def url(self) -> str:
        """The path with something plausible in each of its places."""
        filled = self.path
        for place, value in _IN_PATH.items():
            filled = filled.replace(place, value)
        return filled.replace("{", "").replace("}", "")

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def routes(app: FastAPI | None = None) -> list[Route]:
    """Those of the interface: the description of itself that the framework adds is not among them."""
    contexts = iter_route_contexts((app or create(Settings.model_construct())).routes)
    return [
        Route(method, str(one.path), str(one.operation_id), tuple(map(str, one.tags)))
        for one in contexts
        if isinstance(one.original_route, APIRoute)
        for method in sorted(one.methods or ())
    ]
