"""The routes of a document that a repository or a registry has, made of a few values: get, put, delete, dry runs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from typing_extensions import TypeAliasType

from api.http.answers import TAGGED, Http
from api.http.deps import RegistryName
from api.http.paths import NAME_IN_PATH
from api.http.problems import declare
from service.base.errors import NotFoundError, PreconditionError, TooLargeError
from service.models.documents import DocumentDryRun
from service.models.references import RepositoryName
from service.operations.document_kinds import DocumentKind
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
class DocumentRoutes:
    """A kind of document as the interface has it."""

    kind: DocumentKind
    path: str
    """Before the repository's name, where a repository has it."""
    name: str
    """In operation ids: `get_NAME`."""
    schema: TypeAliasType
    """By name, so that the contract has one schema for it."""
    example: dict[str, Any]
    on_get: str
    on_put: str
    on_delete: str = ""
    """Left out where the kind is never deleted."""

    @property
    def whole_path(self) -> str:
        return self.path if self.kind.is_of_registry else self.path + NAME_IN_PATH

    @property
    def what(self) -> str:
        """In summaries."""
        return f"the {self.kind.words}" if self.kind.is_of_registry else f"a repository's {self.kind.words}"

    def documents(self, http: Http) -> Documents:
        return http.services.documents[self.kind]

    def endpoint(self, handler: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        """The handler, whose first parameter is the repository's name; a registry's document has none in its path."""
        return partial(handler, None) if self.kind.is_of_registry else handler


def add_routes(router: APIRouter, of: DocumentRoutes) -> None:
    _add_get(router, of)
    _add_put(router, of)
    if of.kind.delete:
        _add_delete(router, of)


def _add_get(router: APIRouter, of: DocumentRoutes) -> None:
    async def get(name: Name, http: Http, registry: RegistryName = None) -> object:
        kept = await of.documents(http).get(http.caller, registry, name)
        http.etag(kept.sha256)
        return kept.document

    router.get(
        of.whole_path,
        operation_id=f"get_{of.name}",
        summary=f"Get {of.what}",
        description=of.on_get,
        responses=TAGGED | declare(NotFoundError),
        response_model=of.schema,
    )(of.endpoint(get))


def _add_put(router: APIRouter, of: DocumentRoutes) -> None:
    async def put(name: Name, http: Http, registry: RegistryName = None, dry_run: DryRun = False) -> object:
        # The document's own bytes: AWS is sent what the caller wrote, not what we would make of it.
        documents, call, content = of.documents(http), await http.call(), await http.body()
        if dry_run:
            return _tried(http, await documents.preview_put(call, registry, name, content))
        done = await documents.put(call, registry, name, content)
        http.note(done)
        http.etag(done.value.sha256)
        return done.value.document

    document = {"schema": {"$ref": f"#/components/schemas/{of.schema.__name__}"}, "example": of.example}
    router.put(
        of.whole_path,
        operation_id=f"put_{of.name}",
        summary=f"Set {of.what}",
        description=of.on_put,
        responses=_PUT | declare(NotFoundError, PreconditionError, TooLargeError),
        response_model=of.schema,
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": document}}},
    )(of.endpoint(put))


def _add_delete(router: APIRouter, of: DocumentRoutes) -> None:
    async def delete(name: Name, http: Http, registry: RegistryName = None, dry_run: DryRun = False) -> object:
        documents, call = of.documents(http), await http.call()
        if dry_run:
            return _tried(http, await documents.preview_delete(call, registry, name))
        http.note(await documents.delete(call, registry, name))
        return None

    router.delete(
        of.whole_path,
        status_code=204,
        operation_id=f"delete_{of.name}",
        summary=f"Delete {of.what}",
        description=of.on_delete,
        responses=_DELETE | declare(NotFoundError, PreconditionError),
        response_model=None,
    )(of.endpoint(delete))


def _tried(http: Http, dry_run: DocumentDryRun) -> Response:
    return http.unchecked(dry_run, _TRIED)
