"""Documents that AWS keeps as a whole: each kind is got, put, deleted, tried and settled in this one way.

A document is sent to AWS as it was written. AWS may store it written otherwise, so what two of them say is compared by
a hash of their canonical form, which is the ETag too.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from service.access import authz
from service.access.actions import Action
from service.access.authz import Caller, Target
from service.base.errors import Kind, NotFoundError
from service.base.settings import RegistrySettings
from service.base.tasks import or_none
from service.clients.registry import Registry
from service.models.documents import DocumentChange, DocumentDryRun
from service.operations import settling
from service.operations.calls import Call, Done, Intent, Json, Open, Outcome, Settled, nothing
from service.operations.runner import Operations, Settling

Document = Json


class DocumentClient(Protocol):
    """Where a registry keeps the documents of a kind, by the name of what has one."""

    async def get(self, name: str, /) -> Document | None: ...
    async def put(self, name: str, text: str, /) -> Document: ...
    async def delete(self, name: str, /) -> None: ...


async def _never_made(_: Registry, __: str) -> str | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentKind:
    """What one kind of document has of its own."""

    noun: Kind
    """As people call it; one that is not there is `NOUN_not_found`."""
    read: Action
    put: Action
    delete: Action
    wider: Mapping[Action, Callable[[Document, RegistrySettings], bool]] = field(default_factory=dict)
    """Actions that a put is instead of `put`, by what is in the document: the first that fits."""
    client: Callable[[Registry], DocumentClient]
    put_call: str
    """AWS's name for it, by which CloudTrail knows it; and so below."""
    delete_call: str
    parse: Callable[[bytes, RegistrySettings], Document]
    """:raises InvalidError: it is none, or one that the registry may not have; each mistake with its place."""
    hash_of: Callable[[Document], str]
    """Of the canonical form."""
    made_at: Callable[[Registry, str], Awaitable[str | None]] = _never_made
    """When the repository that has it was made, as another one of its name is another matter."""
    target: Callable[[str, str], Target] = Target
    """Whom a change is about, by registry and name."""

    def put_as(self, document: Document, settings: RegistrySettings) -> Action:
        return next((action for action, fits in self.wider.items() if fits(document, settings)), self.put)


@dataclass(frozen=True, slots=True)
class Kept:
    """A document that is there, and the hash of what it says."""

    document: Document
    sha256: str


@dataclass(frozen=True, slots=True)
class _State:
    """What is there, if anything is; and when the repository that has it was made."""

    kept: Kept | None
    made_at: str | None

    @property
    def document(self) -> Document | None:
        return self.kept.document if self.kept else None

    @property
    def sha256(self) -> str | None:
        return self.kept.sha256 if self.kept else None

    def facts(self) -> Json:
        return {"sha256": self.sha256, "repository": self.made_at}


class Documents:
    """The documents of one kind. `find` gives a registry by its name."""

    def __init__(self, kind: DocumentKind, *, find: Callable[[str | None], Registry], operations: Operations) -> None:
        self._kind = kind
        self._find = find
        self._operations = operations

    @property
    def settling(self) -> Mapping[Action, Settling]:
        put = Settling(self._settle_put, looks=True, call=self._kind.put_call)
        delete = Settling(self._settle_delete, looks=True, call=self._kind.delete_call)
        return {self._kind.put: put, **dict.fromkeys(self._kind.wider, put), self._kind.delete: delete}

    async def get(self, caller: Caller, registry: str | None, name: str) -> Kept:
        """:raises NotFoundError: there is none, or what would have it is not there as far as the caller may know."""
        chosen = self._find(registry)
        authz.require(caller, self._kind.read, self._kind.target(chosen.name, name))
        return self._there(name, await self._kind.client(chosen).get(name))

    async def put(self, call: Call, registry: str | None, name: str, content: bytes) -> Done[Kept]:
        """Set a document, sent to AWS as it came.

        :raises InvalidError: it has mistakes, or says what it may not.
        :raises PreconditionError: `If-Match` names one that is gone.
        """
        chosen = self._find(registry)
        document = self._kind.parse(content, chosen.settings)

        async def act(operation_id: str) -> Outcome[Kept]:
            await self._keep(call, operation_id, chosen, name)
            stored = await self._kind.client(chosen).put(name, content.decode())
            return Outcome(stored, self._kept(stored))

        action, target = self._kind.put_as(document, chosen.settings), self._kind.target(chosen.name, name)
        request = {"name": name, "document": document, "sha256": self._kind.hash_of(document)}
        return await self._operations.run(call, Intent(action, target, request, self._kept, keeps_before=True), act)

    async def delete(self, call: Call, registry: str | None, name: str) -> Done[None]:
        """:raises NotFoundError: there is none. :raises PreconditionError: `If-Match` names one that is gone."""
        chosen = self._find(registry)

        async def act(operation_id: str) -> Outcome[None]:
            await self._keep(call, operation_id, chosen, name)
            await self._kind.client(chosen).delete(name)
            return Outcome.empty()

        target = self._kind.target(chosen.name, name)
        intent = Intent(self._kind.delete, target, {"name": name}, nothing, keeps_before=True)
        return await self._operations.run(call, intent, act)

    async def preview_put(self, call: Call, registry: str | None, name: str, content: bytes) -> DocumentDryRun:
        """What `put` would change: refused as that would be, as far as AWS need not be asked to do it."""
        chosen = self._find(registry)
        document = self._kind.parse(content, chosen.settings)
        authz.require(call.caller, self._kind.put_as(document, chosen.settings), self._kind.target(chosen.name, name))
        state = await self._matching_state(call, chosen, name)
        change = DocumentChange.CREATED if state.kept is None else DocumentChange.REPLACED
        if state.sha256 == self._kind.hash_of(document):
            change = DocumentChange.NONE
        return DocumentDryRun(change=change, before=state.document, after=document)

    async def preview_delete(self, call: Call, registry: str | None, name: str) -> DocumentDryRun:
        """What `delete` would change: refused as that would be, as far as AWS need not be asked to do it."""
        chosen = self._find(registry)
        authz.require(call.caller, self._kind.delete, self._kind.target(chosen.name, name))
        state = await self._matching_state(call, chosen, name)
        kept = self._there(name, state.document)
        return DocumentDryRun(change=DocumentChange.DELETED, before=kept.document, after=None)

    def _there(self, name: str, document: Document | None) -> Kept:
        if document is None:
            raise NotFoundError(self._kind.noun, name)
        return self._kept(document)

    def _kept(self, document: Document) -> Kept:
        return Kept(document, self._kind.hash_of(document))

    async def _keep(self, call: Call, operation_id: str, registry: Registry, name: str) -> None:
        """Keep what is there, which is read once: for `If-Match` and for settling."""
        # Without the repository there is none. The change is sent all the same: AWS has the last word.
        state = await or_none(self._state(registry, name)) or _State(None, None)
        self._require_match(call, state, name)
        await self._operations.keep(operation_id, state.facts())

    async def _matching_state(self, call: Call, registry: Registry, name: str) -> _State:
        state = await self._state(registry, name)
        self._require_match(call, state, name)
        return state

    def _require_match(self, call: Call, state: _State, name: str) -> None:
        call.require_match(state.sha256 and f'"{state.sha256}"', f"The {self._kind.noun} of {name}")

    async def _state(self, registry: Registry, name: str) -> _State:
        """:raises NotFoundError: the repository that would have it is not there."""
        document, made_at = await asyncio.gather(
            self._kind.client(registry).get(name), self._kind.made_at(registry, name)
        )
        return _State(None if document is None else self._kept(document), made_at)

    async def _state_of(self, operation: Open) -> _State:
        state = self._state(self._find(operation.registry), operation.request["name"])
        return await or_none(state) or _State(None, None)

    async def _settle_put(self, operation: Open) -> Settled:
        state = await self._state_of(operation)
        asked = {"sha256": operation.request["sha256"]}
        return settling.change(
            operation, state.facts(), asked, result=operation.request["document"], found=state.document
        )

    async def _settle_delete(self, operation: Open) -> Settled:
        state = await self._state_of(operation)
        return settling.deletion(operation, state.facts() if state.kept else None, found=state.document)
