"""`/v1/repositories`: create, list and search, get, change, delete."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Query

from api.http.answers import PLAIN_TEXT, TAGGED, Http
from api.http.deps import Cursor, Limit, RegistryName
from api.http.paths import NAME_IN_PATH
from api.http.problems import declare
from api.http.routing import KeyedRoute
from service.base.errors import ConflictError, NotFoundError, PartialError, PreconditionError, TooLargeError
from service.models.references import RepositoryName
from service.models.repositories import Repository, RepositoryCreate, RepositoryPage, RepositoryUpdate

router = APIRouter(prefix="/v1/repositories", tags=["repositories"], route_class=KeyedRoute)
Name = Annotated[RepositoryName, Path(description="The name as it is (`team/app`) or percent-encoded (`team%2Fapp`)")]


@router.post(
    "",
    status_code=201,
    operation_id="create_repository",
    summary="Create a repository",
    description="It carries the resource tag `wharfinger:operation`, by which a lost answer is settled.",
    responses=declare(NotFoundError, ConflictError, TooLargeError),
)
async def create_repository(body: RepositoryCreate, http: Http, registry: RegistryName = None) -> Repository:
    done = await http.services.repositories.create(await http.call(), registry, body)
    http.note(done)
    http.set_location(f"/v1/repositories/{body.name}" + (f"?registry={quote(registry)}" if registry else ""))
    return http.tagged(done.value)


@router.get(
    "",
    operation_id="list_repositories",
    summary="List repositories, or search them by prefix",
    description="A page may hold fewer than `limit` items and still have a next one.",
    responses=declare(NotFoundError),
)
async def list_repositories(
    http: Http,
    registry: RegistryName = None,
    prefix: Annotated[
        str,
        Query(max_length=256, pattern=r"^[a-z0-9._/-]*$", examples=["team/"], description="What the names start with"),
    ] = "",
    cursor: Cursor = None,
    limit: Limit = 100,
) -> RepositoryPage:
    page = await http.services.repositories.list(http.caller, registry, prefix=prefix, cursor=cursor, limit=limit)
    return http.page(page)


@router.get(
    NAME_IN_PATH,
    operation_id="get_repository",
    summary="Get a repository",
    description="`Accept: text/plain` answers its URI alone.",
    responses=PLAIN_TEXT | TAGGED | declare(NotFoundError),
    response_model=Repository,
)
async def get_repository(name: Name, http: Http, registry: RegistryName = None) -> object:
    repository = await http.services.repositories.get(http.caller, registry, name)
    return http.tagged_or_line(repository, line=repository.uri)


@router.patch(
    NAME_IN_PATH,
    operation_id="update_repository",
    summary="Change a repository's tag mutability, scan on push or resource tags",
    description="What is left out stays. Where AWS refuses a part, `partially_applied` says what was changed.",
    responses=declare(NotFoundError, PreconditionError, PartialError, ConflictError, TooLargeError),
)
async def update_repository(
    name: Name, body: RepositoryUpdate, http: Http, registry: RegistryName = None
) -> Repository:
    done = await http.services.repositories.update(await http.call(), registry, name, body)
    http.note(done)
    return http.tagged(done.value)


@router.delete(
    NAME_IN_PATH,
    status_code=204,
    operation_id="delete_repository",
    summary="Delete a repository",
    description="One that holds images is refused, unless `force` is set.",
    responses=declare(NotFoundError, ConflictError, PreconditionError),
)
async def delete_repository(
    name: Name,
    http: Http,
    registry: RegistryName = None,
    force: Annotated[bool, Query(description="Also with all its images")] = False,
) -> None:
    http.note(await http.services.repositories.delete(await http.call(), registry, name, force=force))
