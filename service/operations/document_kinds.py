"""What one kind of document has of its own: its actions, how it is read, where AWS keeps it, templates of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from service.access.actions import Action
from service.base.errors import Noun
from service.base.settings import RegistrySettings
from service.clients.aws.lengths import Length
from service.clients.aws.sessions import RegistryClients
from service.models.common import Model
from service.operations.calls import Json

Document = Json
P = TypeVar("P", bound=Model)


class DocumentClient(Protocol):
    """Where a registry keeps the documents of a kind, by the name of what has one: a repository, or the registry."""

    @property
    def length(self) -> Length:
        """Of a text that AWS takes."""

    async def get(self, name: str, /) -> Document | None: ...
    async def put(self, name: str, text: str, /) -> Document: ...
    async def delete(self, name: str, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Change:
    action: Action
    call: str
    """AWS's name for it, by which CloudTrail knows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template(Generic[P]):
    """A document that most people want, but for the parameters that tell theirs from others'."""

    name: str
    """Of its own among the templates of all kinds."""
    description: str
    parameters: type[P]
    """What it is filled with. Templates that name a parameter alike mean the same by it."""
    fill: Callable[[P], Document]
    actions: Sequence[str] = ()
    """What it lets do, where it lets anybody do anything."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DocumentKind:
    """One kind of document."""

    noun: Noun
    """As people call it; one that is not there is `NOUN_not_found`."""
    is_of_registry: bool = False
    """A registry has one, and not each of its repositories."""
    read: Action
    put: Change
    delete: Change | None
    """None: AWS has always one, and it is only ever put."""
    wider: Mapping[Action, Callable[[Document, RegistrySettings], bool]] = field(default_factory=dict)
    """Actions that a put is instead of `put`, by what is in the document: the first that fits."""
    client: Callable[[RegistryClients], DocumentClient]
    parse: Callable[[bytes, RegistrySettings], Document]
    """:raises InvalidError: it is none, or one that the registry may not have; each mistake with its place."""
    hash_of: Callable[[Document], str]
    """Of the canonical form."""
    templates: Sequence[Template[Any]] = ()

    @property
    def words(self) -> str:
        return self.noun.replace("_", " ")

    def put_as(self, document: Document, settings: RegistrySettings) -> Action:
        return next((action for action, fits in self.wider.items() if fits(document, settings)), self.put.action)
