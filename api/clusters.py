"""`/v1/clusters`: list, and one with what it says of itself."""

from typing import Annotated

from fastapi import APIRouter, Path

from api.answers import Http
from api.deps import Authenticated
from api.problems import declare
from service.clusters import ClusterList, ClusterStatus
from service.errors import NotFoundError

router = APIRouter(prefix="/v1/clusters", tags=["clusters"])


@router.get("", operation_id="list_clusters", summary="List the clusters of the settings")
async def list_clusters(caller: Authenticated, http: Http) -> ClusterList:
    return http.services.clusters.list(caller)


@router.get(
    "/{name}",
    operation_id="get_cluster",
    summary="Get a cluster: whether it can be reached, its version, its nodes",
    responses=declare(NotFoundError),
)
async def get_cluster(
    name: Annotated[str, Path(max_length=64, examples=["demo"])], caller: Authenticated, http: Http
) -> ClusterStatus:
    return await http.services.clusters.get(caller, name)
