"""The routes of a document that a repository has, made of a few values: get, put, delete, and dry runs of both."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from typing_extensions import TypeAliasType

from api.http.answers import TAGGED, Http
from api.http.deps import RegistryName
from api.http.paths import NAME_IN_PATH
from api.http.problems import declare
from service.base.errors import NotFoundError, PreconditionError, TooLargeError
from service.container import Container
from service.models.documents import DocumentDryRun
from service.models.references import RepositoryName
from service.operations.documents import Documents

Name = Annotated[RepositoryName, Path(description="The repository's name, as it is or percent-encoded")]
DryRun = Annotated[bool, Query(description="Change nothing, and say what would change")]

_TRIED = "application/vnd.wharfinger.dry-run+json"
"""A type of its own: for generated clients, the JSON of a put's 200 is the document, and of nothing else."""
_WOULD_CHANGE = {_TRIED: {"schema": {"$ref": f"#/components/schemas/{DocumentDryRun.__name__}"}}}
# JSON first: generated clients read what is named first.
_PUT: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {}, **_WOULD_CHANGE}}}
_DELETE: dict[int | str, dict[str, Any]] = {
    200: {"description": "With `?dry_run=true`: what would change", "content": _WOULD_CHANGE}
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryDocument:
    """A kind of document as the interface has it."""

    path: str
    """Before the repository's name."""
    name: str
    """In operation ids: `get_NAME`."""
    noun: str
    """In summaries."""
    schema: TypeAliasType
    """By name, so that the contract has one schema for it."""
    example: dict[str, Any]
    documents: Callable[[Container], Documents]
    on_get: str
    on_put: str
    on_delete: str


def add_routes(router: APIRouter, of: RepositoryDocument) -> None:
    _add_get(router, of)
    _add_put(router, of)
    _add_delete(router, of)


def _add_get(router: APIRouter, of: RepositoryDocument) -> None:
    @router.get(
        of.path + NAME_IN_PATH,
        operation_id=f"get_{of.name}",
        summary=f"Get a repository's {of.noun}",
        description=of.on_get,
        responses=TAGGED | declare(NotFoundError),
        response_model=of.schema,
    )
    async def get(name: Name, http: Http, registry: RegistryName = None) -> object:
        kept = await of.documents(http.services).get(http.caller, registry, name)
        http.etag(kept.sha256)
        return kept.document


def _add_put(router: APIRouter, of: RepositoryDocument) -> None:
    document = {"schema": {"$ref": f"#/components/schemas/{of.schema.__name__}"}, "example": of.example}

    @router.put(
        of.path + NAME_IN_PATH,
        operation_id=f"put_{of.name}",
        summary=f"Set a repository's {of.noun}",
        description=of.on_put,
        responses=_PUT | declare(NotFoundError, PreconditionError, TooLargeError),
        response_model=of.schema,
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": document}}},
    )
    async def put(name: Name, http: Http, registry: RegistryName = None, dry_run: DryRun = False) -> object:
        # The document's own bytes: AWS is sent what the caller wrote, not what we would make of it.
        documents, call, content = of.documents(http.services), await http.call(), await http.body()
        if dry_run:
            return _tried(http, await documents.preview_put(call, registry, name, content))
        done = await documents.put(call, registry, name, content)
        http.note(done)
        http.etag(done.value.sha256)
        return done.value.document


def _add_delete(router: APIRouter, of: RepositoryDocument) -> None:
    @router.delete(
        of.path + NAME_IN_PATH,
        status_code=204,
        operation_id=f"delete_{of.name}",
        summary=f"Delete a repository's {of.noun}",
        description=of.on_delete,
        responses=_DELETE | declare(NotFoundError, PreconditionError),
        response_model=None,
    )
    async def delete(name: Name, http: Http, registry: RegistryName = None, dry_run: DryRun = False) -> Response | None:
        documents, call = of.documents(http.services), await http.call()
        if dry_run:
            return _tried(http, await documents.preview_delete(call, registry, name))
        http.note(await documents.delete(call, registry, name))
        return None


def _tried(http: Http, dry_run: DocumentDryRun) -> Response:
    return http.unchecked(dry_run, _TRIED)
