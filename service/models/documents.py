"""What all documents share that AWS keeps as a whole: policies, configurations."""

from enum import StrEnum
from typing import Any

from pydantic import Field

from service.models.common import Model


class DocumentChange(StrEnum):
    """What would become of a document; `none` where it says the same already."""

    CREATED = "created"
    REPLACED = "replaced"
    DELETED = "deleted"
    NONE = "none"


class DocumentDryRun(Model):
    """What a change of a document would change; nothing was changed."""

    change: DocumentChange
    before: dict[str, Any] | None = Field(description="As AWS has it; null where there is none")
    after: dict[str, Any] | None = Field(description="As it was sent; null where it would be deleted")
