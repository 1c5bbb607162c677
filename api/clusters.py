"""`/v1/clusters`: list, one with what it says of itself, and whether it could run an image."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.http.answers import Http
from api.http.deps import RegistryName
from api.http.problems import declare
from api.http.routing import KeyedRoute
from service.base.errors import NotFoundError
from service.gates.gates import GATES
from service.models.clusters import ClusterList, ClusterStatus
from service.models.deployments import ImageText, NamespaceName
from service.models.preflights import Preflight
from service.models.references import Reference

router = APIRouter(prefix="/v1/clusters", tags=["clusters"], route_class=KeyedRoute)
_CHECKS = ", ".join(f"`{one.name}`" for one in GATES)
Name = Annotated[str, Path(max_length=64, examples=["demo"], description="As the settings name it")]


@router.get(
    "",
    operation_id="list_clusters",
    summary="List the clusters of the settings",
    description="Those that a binding of the caller reaches.",
)
async def list_clusters(http: Http) -> ClusterList:
    return http.services.clusters.list(http.caller)


@router.get(
    "/{name}",
    operation_id="get_cluster",
    summary="Get a cluster: whether it can be reached, its version, its nodes",
    description="It is asked just now; `problem` is the code of what stands in the way.",
    responses=declare(NotFoundError),
)
async def get_cluster(name: Name, http: Http) -> ClusterStatus:
    return await http.services.clusters.get(http.caller, name)


@router.get(
    "/{name}/preflight",
    operation_id="check_cluster",
    summary="Look into whether a cluster could run an image",
    description=(f"Checks {_CHECKS}: each is ok, failed or unknown, with what to do. Nothing is changed."),
    responses=declare(NotFoundError),
)
async def check_cluster(
    name: Name,
    http: Http,
    image: Annotated[ImageText, Query()],
    namespace: Annotated[NamespaceName, Query(description="Where it would run")] = "default",
    registry: RegistryName = None,
) -> Preflight:
    return await http.services.preflights.check(http.caller, name, registry, Reference.parse(image), namespace)
