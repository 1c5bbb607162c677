"""What the interface speaks of: the domain's values and the answers' schemas are the same models.

Names follow ECR's own; a pattern here is the one AWS documents for the newest service model, and AWS has the last word.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    model_validator,
)

_COMPONENT = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
REPOSITORY_PATTERN = rf"^{_COMPONENT}(?:/{_COMPONENT})*$"
TAG_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$"
DIGEST_PATTERN = r"^sha256:[a-f0-9]{64}$"
_HOST = re.compile(r"[a-z0-9.-]+:[0-9]{1,5}|[0-9]{12}\.dkr[.-]ecr(-fips)?\.[a-z0-9.-]+", re.ASCII)
"""What is taken for a host. No more: the first part of a name may have dots too."""
MOST_REFERENCE = 640
"""The longest reference: of a host, a name, a tag and a digest."""
OWN_TAG_PREFIX = "wharfinger:"
OPERATION_TAG = OWN_TAG_PREFIX + "operation"

REFERENCE_FORMS = "`team/app:0.0.2`, `team/app@sha256:…`, or both; the registry's own host may stand in front"

RepositoryName = Annotated[
    str,
    StringConstraints(pattern=REPOSITORY_PATTERN, min_length=2, max_length=256),
    Field(examples=["team/app"], description="2 to 256 characters; slashes make namespaces"),
]


def _not_reserved(key: str) -> str:
    if key.lower().startswith(("aws:", OWN_TAG_PREFIX)):
        raise ValueError("tags that start with aws: or wharfinger: are reserved")
    return key


TagKey = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_not_reserved)]
TagValue = Annotated[str, StringConstraints(max_length=256)]


_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def _to_utc(when: datetime) -> datetime:
    # A day from the calendar's ends, a time can't be put in every zone; databases and drivers do just that.
    if not _EARLIEST <= when < _LATEST:
        raise ValueError("must be between the years 1970 and 9998")
    return when.astimezone(UTC)


def _not_a_number(value: object) -> object:
    """JSON has no times: a number would be taken for seconds since 1970, and a number for a span of them."""
    if isinstance(value, int | float):
        raise ValueError("must be a string")  # noqa: TRY004 - pydantic takes nothing else for a mistake of the caller
    return value


AsText = BeforeValidator(_not_a_number)
UtcTime = Annotated[AwareDatetime, AfterValidator(_to_utc), AsText]
"""A time that a caller names: with its zone, and kept in UTC."""


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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


class Page(Model):
    """One page of a list; without `next_cursor` it is the last."""

    next_cursor: str | None


class RepositoryPage(Page):
    """One page of repositories."""

    items: list[RepositorySummary]


@dataclass(frozen=True, slots=True)
class Reference:
    """An image as docker users write it: a name with a tag, a digest or both, behind the registry's host or not.

    With both, the digest says which image it is, and the tag has to stand for it: see `References`.
    """

    repository: str
    tag: str | None
    digest: str | None
    host: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """:raises ValueError: it is none; the text says what is wrong."""
        first, slash, rest = text.partition("/")
        host, rest = (first, rest) if slash and _HOST.fullmatch(first) else (None, text)
        named, at, digest = rest.partition("@")
        name, colon, tag = named.partition(":")
        if not (at or tag):
            raise ValueError("name a tag or a digest: team/app:0.0.2 or team/app@sha256:…")
        if colon:
            _match(TAG_PATTERN, tag, "the tag is not valid")
        if at:
            _match(DIGEST_PATTERN, digest, "the digest must be sha256: and 64 hexadecimal digits")
        if not 2 <= len(name) <= 256:  # noqa: PLR2004 - ECR's bounds
            raise ValueError("a repository name has 2 to 256 characters")
        _match(REPOSITORY_PATTERN, name, "the repository name is not valid")
        return cls(name, tag or None, digest or None, host)

    def __str__(self) -> str:
        host = f"{self.host}/" if self.host else ""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{host}{self.repository}{tag}{digest}"


def _match(pattern: str, value: str, complaint: str) -> None:
    if not re.fullmatch(pattern, value):
        raise ValueError(f"{complaint}: {value!r}")


def etag_of(model: BaseModel) -> str:
    """A strong validator of a resource's present state (RFC 9110, section 8.8.3)."""
    return '"' + hashlib.sha256(model.model_dump_json().encode()).hexdigest()[:32] + '"'
