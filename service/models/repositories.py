"""`/v1/repositories`. Names follow ECR's own."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    Field,
    StrictBool,
    StringConstraints,
    model_validator,
)

from service.models.common import Model, Page
from service.models.references import RepositoryName

OWN_TAG_PREFIX = "wharfinger:"
OPERATION_TAG = OWN_TAG_PREFIX + "operation"


def _not_reserved(key: str) -> str:
    if key.lower().startswith(("aws:", OWN_TAG_PREFIX)):
        raise ValueError("tags that start with aws: or wharfinger: are reserved")
    return key


TagKey = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_not_reserved)]
TagValue = Annotated[str, StringConstraints(max_length=256)]


class Mutability(StrEnum):
    """Whether a tag may be moved; the last two hold for all tags but those of the filters."""

    MUTABLE = "MUTABLE"
    IMMUTABLE = "IMMUTABLE"
    MUTABLE_WITH_EXCLUSION = "MUTABLE_WITH_EXCLUSION"
    IMMUTABLE_WITH_EXCLUSION = "IMMUTABLE_WITH_EXCLUSION"

    @property
    def has_exclusions(self) -> bool:
        return self.value.endswith("_WITH_EXCLUSION")


ExclusionFilter = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-zA-Z._*-]{1,128}$"),
    Field(examples=["dev-*"], description="A wildcard over tags"),
]


class EncryptionType(StrEnum):
    """By a key of S3's own or of KMS; `KMS_DSSE` encrypts twice."""

    AES256 = "AES256"
    KMS = "KMS"
    KMS_DSSE = "KMS_DSSE"


class Encryption(Model):
    """How the images are encrypted; set at creation only."""

    type: EncryptionType = EncryptionType.AES256
    kms_key: Annotated[str, StringConstraints(min_length=1, max_length=2048)] | None = None

    @model_validator(mode="after")
    def _key_needs_kms(self) -> Self:
        if self.kms_key and self.type is EncryptionType.AES256:
            raise ValueError("kms_key goes with type KMS or KMS_DSSE")
        return self


class TagSettings(Model):
    """Whether tags can be moved, and for which the opposite holds."""

    tag_mutability: Mutability
    mutability_exclusions: tuple[ExclusionFilter, ...] = Field((), max_length=5)

    @model_validator(mode="after")
    def _exclusions_fit(self) -> Self:
        if self.tag_mutability.has_exclusions != bool(self.mutability_exclusions):
            raise ValueError(
                "mutability_exclusions: 1 to 5 filters go with a ..._WITH_EXCLUSION mode, and only with it"
            )
        return self


class RepositoryCreate(TagSettings):
    """A repository to make."""

    name: RepositoryName
    tag_mutability: Mutability = Mutability.MUTABLE
    scan_on_push: StrictBool = True
    encryption: Encryption = Encryption()
    tags: dict[TagKey, TagValue] = Field({}, max_length=49, description="Resource tags; one of the 50 is wharfinger's")


class RepositoryUpdate(Model):
    """What to change; a field left out stays. In `tags`, null removes a key."""

    tag_mutability: Mutability | None = None
    mutability_exclusions: tuple[ExclusionFilter, ...] | None = Field(None, max_length=5)
    scan_on_push: StrictBool | None = None
    tags: dict[TagKey, TagValue | None] = Field({}, max_length=49)

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("name at least one field to change")
        if self.mutability_exclusions is not None and self.tag_mutability is None:
            raise ValueError("mutability_exclusions goes with tag_mutability")
        if self.tag_mutability is not None:
            TagSettings(tag_mutability=self.tag_mutability, mutability_exclusions=self.mutability_exclusions or ())
        return self


class RepositorySummary(Model):
    """A repository as ECR describes it."""

    registry: str
    name: str
    arn: str
    uri: str = Field(description="What docker pulls and pushes, without a tag")
    created_at: AwareDatetime
    tag_mutability: Mutability
    mutability_exclusions: tuple[str, ...]
    scan_on_push: bool
    encryption: Encryption


class Repository(RepositorySummary):
    """A repository with its resource tags, without wharfinger's own."""

    tags: dict[str, str]


class RepositoryPage(Page):
    """One page of repositories."""

    items: list[RepositorySummary]
