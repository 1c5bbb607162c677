"""What all documents share that AWS keeps as a whole: policies, configurations."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypeAliasType

from service.models.common import Model

AnyDocument = TypeAliasType("AnyDocument", Annotated[dict[str, Any], Field(description="A document of any kind")])
"""By name, so that generated clients need not make one up."""


class DocumentChange(StrEnum):
    """What would become of a document; `none` where it says the same already."""

    CREATED = "created"
    REPLACED = "replaced"
    DELETED = "deleted"
    NONE = "none"


class DocumentDryRun(Model):
    """What a change of a document would change; nothing was changed."""

    change: DocumentChange
    before: AnyDocument | None = Field(description="As AWS has it; null where there is none")
    after: AnyDocument | None = Field(description="As it was sent; null where it would be deleted")
