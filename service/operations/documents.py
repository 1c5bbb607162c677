"""Documents that AWS keeps as a whole: each kind is got, put, deleted, tried and settled in this one way.

A document is sent to AWS as it was written. AWS may store it written otherwise, so what two of them say is compared by
a hash of their canonical form, which is the ETag too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from service.access import authz
from service.access.actions import Action
from service.access.authz import Caller, Target
from service.base.errors import FieldError, InvalidError, NotFoundError
from service.base.tasks import both, or_none
from service.clients.registry import Registry
from service.models.documents import DocumentChange, DocumentDryRun
from service.operations import verdicts
from service.operations.calls import Call, Done, Intent, Json, Open, Outcome, Settled, nothing
from service.operations.document_kinds import Change, Document, DocumentKind
from service.operations.operations import Operations, Settling


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


class _Place:
    """Where one document is: at a repository, or at the registry itself."""

    def __init__(self, kind: DocumentKind, registry: Registry, name: str | None) -> None:
        self._kind = kind
        self._registry = registry
        self._repository = name
        self._client = registry.client(kind.client)
        self.settings = registry.settings
        self.owner = name or registry.name
        self.target = Target(registry.name, name)

    async def document(self) -> Document | None:
        return await self._client.get(self.owner)

    async def put(self, text: str) -> Document:
        return await self._client.put(self.owner, text)

    async def delete(self) -> None:
        await self._client.delete(self.owner)

    async def state(self) -> _State:
        """:raises NotFoundError: the repository that would have it is not there."""
        document, made_at = await both(self.document(), self._made_at())
        return _State(None if document is None else self.kept(document), made_at)

    async def state_or_none(self) -> _State:
        """Without the repository there is no document either."""
        return await or_none(self.state()) or _State(None, None)

    def parsed(self, content: bytes) -> Document:
        """:raises InvalidError: it is none of the kind, or of a length that AWS does not take."""
        document, text = self._kind.parse(content, self.settings), content.decode()
        if not self._client.length.allows(text):
            why = f"has {len(text):,} characters; AWS takes {self._client.length}"
            raise InvalidError(f"No {self._kind.words} has that length.", errors=[FieldError("body", why)])
        return document

    def kept(self, document: Document) -> Kept:
        return Kept(document, self._kind.hash_of(document))

    def require(self, document: Document | None) -> Kept:
        """:raises NotFoundError: there is none."""
        if document is None:
            raise NotFoundError(self._kind.noun, self.owner)
        return self.kept(document)

    def require_match(self, call: Call, state: _State) -> None:
        call.require_match(state.sha256 and f'"{state.sha256}"', f"The {self._kind.words} of {self.owner}")

    async def _made_at(self) -> str | None:
        """What tells the repository from another one of its name, whose document is another matter."""
        if self._repository is None:
            return None
        return await self._registry.repositories.creation_time(self._repository)


class Documents:
    """The documents of one kind. `find` gives a registry by its name; `name` is None where a registry has one."""

    def __init__(self, kind: DocumentKind, *, find: Callable[[str | None], Registry], operations: Operations) -> None:
        self._kind = kind
        self._find = find
        self._operations = operations

    @property
    def settling(self) -> Mapping[Action, Settling]:
        put = Settling(self._settle_put, looks=True, call=self._kind.put.call)
        puts = dict.fromkeys((self._kind.put.action, *self._kind.wider), put)
        if self._kind.delete is None:
            return puts
        delete = Settling(self._settle_delete, looks=True, call=self._kind.delete.call)
        return {**puts, self._kind.delete.action: delete}

    async def get(self, caller: Caller, registry: str | None, name: str | None) -> Kept:
        """:raises NotFoundError: there is none, or what would have it is not there as far as the caller may know."""
        place = self._place(registry, name)
        authz.require(caller, self._kind.read, place.target)
        return place.require(await place.document())

    async def put(self, call: Call, registry: str | None, name: str | None, content: bytes) -> Done[Kept]:
        """Set a document, sent to AWS as it came.

        :raises InvalidError: it has mistakes, or says what it may not.
        :raises PreconditionError: `If-Match` names one that is gone.
        """
        place = self._place(registry, name)
        document = place.parsed(content)

        async def act(operation_id: str) -> Outcome[Kept]:
            await self._keep(call, operation_id, place)
            stored = await place.put(content.decode())
            return Outcome(stored, place.kept(stored))

        action = self._kind.put_as(document, place.settings)
        request = {"name": name, "document": document, "sha256": self._kind.hash_of(document)}
        return await self._operations.run(
            call, Intent(action, place.target, request, place.kept, keeps_before=True), act
        )

    async def delete(self, call: Call, registry: str | None, name: str | None) -> Done[None]:
        """:raises NotFoundError: there is none. :raises PreconditionError: `If-Match` names one that is gone."""
        place = self._place(registry, name)

        async def act(operation_id: str) -> Outcome[None]:
            await self._keep(call, operation_id, place)
            await place.delete()
            return Outcome.empty()

        intent = Intent(self._deletion.action, place.target, {"name": name}, nothing, keeps_before=True)
        return await self._operations.run(call, intent, act)

    async def preview_put(self, call: Call, registry: str | None, name: str | None, content: bytes) -> DocumentDryRun:
        """What `put` would change: refused as that would be, as far as AWS need not be asked to do it."""
        place = self._place(registry, name)
        document = place.parsed(content)
        authz.require(call.caller, self._kind.put_as(document, place.settings), place.target)
        state = await place.state()
        place.require_match(call, state)
        change = DocumentChange.CREATED if state.kept is None else DocumentChange.REPLACED
        if state.sha256 == self._kind.hash_of(document):
            change = DocumentChange.NONE
        return DocumentDryRun(change=change, before=state.document, after=document)

    async def preview_delete(self, call: Call, registry: str | None, name: str | None) -> DocumentDryRun:
        """What `delete` would change: refused as that would be, as far as AWS need not be asked to do it."""
        place = self._place(registry, name)
        authz.require(call.caller, self._deletion.action, place.target)
        state = await place.state()
        place.require_match(call, state)
        kept = place.require(state.document)
        return DocumentDryRun(change=DocumentChange.DELETED, before=kept.document, after=None)

    @property
    def _deletion(self) -> Change:
        if self._kind.delete is None:
            raise TypeError(f"A {self._kind.words} is never deleted")
        return self._kind.delete

    def _place(self, registry: str | None, name: str | None) -> _Place:
        return _Place(self._kind, self._find(registry), name)

    async def _keep(self, call: Call, operation_id: str, place: _Place) -> None:
        """Keep what is there, which is read once: for `If-Match` and for settling."""
        # Without the repository there is none. The change is sent all the same: AWS has the last word.
        state = await place.state_or_none()
        place.require_match(call, state)
        await self._operations.keep(operation_id, state.facts())

    async def _settle_put(self, operation: Open) -> Settled:
        state = await self._place_of(operation).state_or_none()
        asked = {"sha256": operation.request["sha256"]}
        return verdicts.change(
            operation, state.facts(), asked, result=operation.request["document"], found=state.document
        )

    async def _settle_delete(self, operation: Open) -> Settled:
        state = await self._place_of(operation).state_or_none()
        return verdicts.deletion(operation, state.facts() if state.kept else None, found=state.document)

    def _place_of(self, operation: Open) -> _Place:
        return self._place(operation.registry, operation.request["name"])
