"""`/v1/registries`: the registries of the settings, and whether they answer."""

from typing import Annotated

from fastapi import APIRouter, Path

from api.http.answers import TAGGED, Http
from api.http.problems import declare
from api.http.routing import KeyedRoute
from service.base.errors import NotFoundError
from service.models.registries import RegistryList, RegistryStatus

router = APIRouter(prefix="/v1/registries", tags=["registries"], route_class=KeyedRoute)


@router.get(
    "",
    operation_id="list_registries",
    summary="List the registries that the caller may use",
    description="Those that a binding of the caller reaches.",
)
async def list_registries(http: Http) -> RegistryList:
    return http.services.registries.list(http.caller)


@router.get(
    "/{name}",
    operation_id="get_registry",
    summary="Get a registry: whether it is reachable, and its account settings",
    description="It is asked just now; `problem` is the code of what stands in the way.",
    responses=TAGGED | declare(NotFoundError),
)
async def get_registry(
    name: Annotated[str, Path(max_length=64, description="As the settings name it")], http: Http
) -> RegistryStatus:
    return http.tagged(await http.services.registries.get(http.caller, name))
