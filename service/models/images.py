"""What the interface says of images."""

import re
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from service.models.common import Model, Page
from service.models.references import DIGEST_PATTERN, MOST_REFERENCE, TAG_PATTERN, Reference


class ImageStatus(StrEnum):
    """Whether an image can be pulled; one that is activating is on its way out of the archive."""

    ACTIVE = "active"
    ARCHIVED = "archived"
    ACTIVATING = "activating"


class Withheld(StrEnum):
    """Why the manifest of an image was not read: it is archived, or reading it could import it from an upstream."""

    ARCHIVED = "archived"
    CACHE_RULE = "cache_rule"
    CACHE_RULES_UNKNOWN = "cache_rules_unknown"


class ImageSummary(Model):
    """An image as ECR describes it."""

    registry: str
    repository: str
    digest: str
    tags: tuple[str, ...]
    size_bytes: int | None = Field(description="As stored, compressed; of an index, its largest image")
    media_type: str | None = Field(description="Of the manifest")
    pushed_at: AwareDatetime | None
    pulled_at: AwareDatetime | None = Field(
        description="As AWS recorded it, about once a day; reading an image's manifest counts as a pull"
    )
    status: ImageStatus = Field(description="What is `archived` has to be restored before it can be pulled or deployed")


class ImagePage(Page):
    """One page of a repository's images."""

    items: list[ImageSummary]


class Layer(Model):
    """One layer of an image, as its manifest lists it."""

    digest: str
    size_bytes: int
    media_type: str


class Image(ImageSummary):
    """An image with what its manifest says."""

    uri: str = Field(description="The fully qualified reference by digest: what docker pulls")
    layers: tuple[Layer, ...] = Field(
        description="Lowest first; an index has none of its own. None are told where the manifest is withheld"
    )
    platforms: tuple[str, ...] | None = Field(
        examples=[["linux/amd64", "linux/arm64/v8"]],
        description="Those of an index; null for a single image, whose manifest does not tell",
    )
    manifest_withheld: Withheld | None = Field(
        description="Why the manifest was not read; null: it was. `cache_rule`: a pull-through cache rule covers the "
        "repository, so that reading it could import from the upstream; `cache_rules_unknown`: the rules can't be read"
    )


def _source(text: str) -> str:
    if _is_local(text):
        return text
    if text.startswith("sha256:"):
        raise ValueError("a digest is sha256: and 64 hexadecimal digits")
    Reference.parse(text)
    return text


def _is_local(text: str) -> bool:
    return bool(re.fullmatch(DIGEST_PATTERN, text) or re.fullmatch(TAG_PATTERN, text))


class ImageTagging(Model):
    """Which image the tag is to stand for."""

    source: Annotated[str, StringConstraints(max_length=MOST_REFERENCE), AfterValidator(_source)] = Field(
        examples=["0.0.1"],
        description="A digest or a tag of the same repository, or a whole reference within the registry",
    )

    def within(self, repository: str) -> Reference:
        """The source as a reference; one without a repository is of `repository`."""
        if not _is_local(self.source):
            return Reference.parse(self.source)
        is_digest = self.source.startswith("sha256:")
        return Reference(repository, None if is_digest else self.source, self.source if is_digest else None)


class TaggedImage(Model):
    """A tag, and what it stands for."""

    registry: str
    repository: str
    tag: str
    digest: str
