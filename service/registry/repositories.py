"""Repositories: create, find, change, delete."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from service.access import authz
from service.access.actions import Action
from service.access.authz import Caller, Target
from service.base import paging
from service.base.errors import (
    AnswerLostError,
    PartialError,
    WharfingerError,
)
from service.base.permits import permit
from service.base.tasks import or_none
from service.clients.ecr.pages import MOST_PER_PAGE
from service.clients.ecr.repositories import EcrRepositories
from service.models.audit import Status
from service.models.common import etag_of
from service.models.repositories import (
    OPERATION_TAG,
    Repository,
    RepositoryCreate,
    RepositoryPage,
    RepositorySummary,
    RepositoryUpdate,
    TagSettings,
)
from service.operations import verdicts
from service.operations.calls import Call, Done, Intent, Json, Open, Outcome, Settled, nothing
from service.operations.operations import Operations, Settling
from service.registry.registries import Registries

_MOST_PAGES_READ = 10
"""Of ECR, for one page of ours: a prefix that few names have must not hold a request until its deadline."""


class Repositories:
    def __init__(self, *, registries: Registries, operations: Operations) -> None:
        self._registries = registries
        self._operations = operations

    @property
    def settling(self) -> Mapping[Action, Settling]:
        return {
            Action.REPOSITORY_CREATE: Settling(self._settle_create, looks=True, proves=True),
            Action.REPOSITORY_UPDATE: Settling(self._settle_update, looks=True),
            Action.REPOSITORY_DELETE: Settling(self._settle_delete, looks=True, call="DeleteRepository"),
        }

    async def create(self, call: Call, registry: str | None, asked: RepositoryCreate) -> Done[Repository]:
        """Create a repository, tagged with the operation that made it.

        :raises ConflictError: there is one of that name (`repository_exists`), or a quota is used up.
        """
        chosen = self._registries.find(registry)

        async def act(operation_id: str) -> Outcome[Repository]:
            return Outcome.of(await chosen.repositories.create(asked, {OPERATION_TAG: operation_id}))

        request = asked.model_dump(mode="json")
        target = Target(chosen.name, asked.name)
        intent = Intent(Action.REPOSITORY_CREATE, target, request, Repository.model_validate)
        return await self._operations.run(call, intent, act)

    async def get(self, caller: Caller, registry: str | None, name: str) -> Repository:
        """:raises NotFoundError: there is none, or the caller may not know of it."""
        chosen = self._registries.find(registry)
        authz.require(caller, Action.REPOSITORY_READ, Target(chosen.name, name))
        return await chosen.repositories.get(name)

    async def list(
        self, caller: Caller, registry: str | None, *, prefix: str, cursor: str | None, limit: int
    ) -> RepositoryPage:
        """Those whose name starts with `prefix` and that the caller may read, in ECR's order.

        ECR can't search, so its pages are read through; a page of ours may be short and still have a next one.
        """
        chosen = self._registries.find(registry)
        authz.require_registry(caller, chosen.name)
        token, skip = _position(cursor)
        items: list[RepositorySummary] = []
        for _ in range(_MOST_PAGES_READ):
            with paging.token_in_cursor(token):
                summaries, after = await chosen.repositories.page(token, MOST_PER_PAGE if prefix else limit)
            for position, one in enumerate(summaries[skip:], skip):
                if len(items) == limit:
                    return RepositoryPage(items=items, next_cursor=_cursor(token, position))
                if one.name.startswith(prefix) and _may_read(caller, one):
                    items.append(one)
            token, skip = after, 0
            if token is None or len(items) == limit:
                break
        return RepositoryPage(items=items, next_cursor=_cursor(token, 0) if token else None)

    async def update(self, call: Call, registry: str | None, name: str, change: RepositoryUpdate) -> Done[Repository]:
        """Change what `change` names, field by field.

        :raises PartialError: AWS took one field and refused another. A repeat with the same key sends the rest alone.
        :raises PreconditionError: `If-Match` names a state that is gone.
        """
        chosen = self._registries.find(registry)

        async def act(operation_id: str) -> Outcome[Repository]:
            # Read before and not after: once it is changed, nothing may stand between that and its record.
            repository = await chosen.repositories.get(name)
            call.require_match(etag_of(repository), f"Repository {name}")
            await self._operations.keep(operation_id, _facts(repository, change))
            await _apply(_steps(chosen.repositories, name, change), _applied_before())
            return Outcome.of(_changed(repository, change))

        request = change.model_dump(mode="json", exclude_unset=True) | {"name": name}
        target = Target(chosen.name, name)
        intent = Intent(Action.REPOSITORY_UPDATE, target, request, Repository.model_validate, keeps_before=True)
        return await self._operations.run(call, intent, act)

    async def delete(self, call: Call, registry: str | None, name: str, *, force: bool) -> Done[None]:
        """Delete a repository; one with images only by `force`.

        :raises ConflictError: it has images (`repository_not_empty`).
        """
        chosen = self._registries.find(registry)

        async def act(operation_id: str) -> Outcome[None]:
            repository = await or_none(chosen.repositories.get(name))
            call.require_match(etag_of(repository) if repository else None, f"Repository {name}")
            await self._operations.keep(operation_id, _creation(repository))
            await chosen.repositories.delete(name, force=force)
            return Outcome.empty()

        request = {"name": name, "force": force}
        intent = Intent(Action.REPOSITORY_DELETE, Target(chosen.name, name), request, nothing, keeps_before=True)
        return await self._operations.run(call, intent, act)

    async def _settle_create(self, operation: Open) -> Settled:
        ecr, name = self._registries.find(operation.registry).repositories, operation.request["name"]
        tags = await or_none(ecr.tags(name))
        if tags is None:
            return Settled(Status.FAILED, "absent: it was not created")
        if tags.get(OPERATION_TAG) != operation.id:
            return Settled(Status.FAILED, "there is one without this operation's tag: somebody else's")
        made = await ecr.get(name)
        return Settled(Status.SUCCEEDED, "found with this operation's tag", made.model_dump(mode="json"))

    async def _settle_update(self, operation: Open) -> Settled:
        name = operation.request["name"]
        change = RepositoryUpdate.model_validate(
            {field: value for field, value in operation.request.items() if field != "name"}
        )
        repository = await or_none(self._registries.find(operation.registry).repositories.get(name))
        if repository is None:
            return Settled(Status.UNKNOWN, "the repository is gone")
        asked = {field: value for field, value in _asked(change).items() if field not in operation.applied}
        return verdicts.fields(operation, _facts(repository, change), asked, result=repository.model_dump(mode="json"))

    async def _settle_delete(self, operation: Open) -> Settled:
        repository = await or_none(
            self._registries.find(operation.registry).repositories.get(operation.request["name"])
        )
        if repository is None:
            return verdicts.deletion(operation, None, found=None)
        return verdicts.deletion(operation, _creation(repository), found=repository.model_dump(mode="json"))


def _creation(repository: Repository | None) -> Json:
    """What tells a repository from another one of its name."""
    return {"created_at": repository and repository.created_at.isoformat()}


def _asked(change: RepositoryUpdate) -> Json:
    """What each field that a change names is to be: each tag is one, and is None where it is to be removed."""
    asked: Json = {}
    if change.tag_mutability is not None:
        asked["tag_mutability"] = change.tag_mutability
    if change.mutability_exclusions is not None:
        asked["mutability_exclusions"] = list(change.mutability_exclusions)
    if change.scan_on_push is not None:
        asked["scan_on_push"] = change.scan_on_push
    return asked | {_tag(key): value for key, value in change.tags.items()}


def _facts(repository: Repository, change: RepositoryUpdate) -> Json:
    """What the fields that a change names are; and when the repository was made."""
    facts: Json = {
        "tag_mutability": repository.tag_mutability,
        "mutability_exclusions": list(repository.mutability_exclusions),
        "scan_on_push": repository.scan_on_push,
    }
    facts |= {_tag(key): repository.tags.get(key) for key in change.tags}
    return {field: facts[field] for field in _asked(change)} | _creation(repository)


def _tag(key: str) -> str:
    return f"tags.{key}"


@dataclass(frozen=True, slots=True)
class _Step:
    """One call to AWS, and the fields that it sets."""

    fields: Sequence[str]
    send: Callable[[], Awaitable[None]]


def _steps(ecr: EcrRepositories, name: str, change: RepositoryUpdate) -> list[_Step]:
    steps: list[_Step] = []
    if change.tag_mutability is not None:
        wanted = TagSettings(
            tag_mutability=change.tag_mutability, mutability_exclusions=change.mutability_exclusions or ()
        )
        fields = [one for one in ("tag_mutability", "mutability_exclusions") if one in _asked(change)]
        steps.append(_Step(fields, lambda: ecr.set_mutability(name, wanted)))
    if (enabled := change.scan_on_push) is not None:
        steps.append(_Step(("scan_on_push",), lambda: ecr.set_scan_on_push(name, enabled=enabled)))
    if added := {key: value for key, value in change.tags.items() if value is not None}:
        steps.append(_Step([*map(_tag, added)], lambda: ecr.add_tags(name, added)))
    if removed := [key for key, value in change.tags.items() if value is None]:
        steps.append(_Step([*map(_tag, removed)], lambda: ecr.remove_tags(name, removed)))
    return steps


def _applied_before() -> Sequence[str]:
    leave = permit.get()
    return leave.applied if leave else ()


async def _apply(steps: Sequence[_Step], applied_before: Sequence[str]) -> None:
    applied = list(applied_before)
    for step in steps:
        if set(step.fields) <= set(applied_before):
            continue
        try:
            await step.send()
        except AnswerLostError:
            raise
        except WharfingerError as error:
            if not applied:
                raise
            raise PartialError(applied, error) from error
        applied += step.fields


def _changed(repository: Repository, change: RepositoryUpdate) -> Repository:
    facts: Json = {}
    if change.tag_mutability is not None:
        facts["tag_mutability"] = change.tag_mutability
        facts["mutability_exclusions"] = tuple(change.mutability_exclusions or ())
    if change.scan_on_push is not None:
        facts["scan_on_push"] = change.scan_on_push
    tags = repository.tags | change.tags
    facts["tags"] = {key: value for key, value in tags.items() if value is not None}
    return repository.model_copy(update=facts)


def _may_read(caller: Caller, one: RepositorySummary) -> bool:
    return authz.is_allowed(caller, Action.REPOSITORY_READ, Target(one.registry, one.name))


def _position(cursor: str | None) -> tuple[str | None, int]:
    """ECR's token of a page and how many of its items were given already."""
    if cursor is None:
        return None, 0
    token, skip = paging.decode(cursor, "token", "skip")
    if not isinstance(token, str | None) or not isinstance(skip, int) or skip < 0:
        raise paging.refusal()
    return token, skip


def _cursor(token: str | None, skip: int) -> str:
    return paging.encode({"token": token, "skip": skip})
