"""Names of repositories and references to images, as docker users write them.

A pattern here is the one AWS documents for the newest service model, and AWS has the last word.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import Field, StringConstraints

_COMPONENT = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
REPOSITORY_PATTERN = rf"^{_COMPONENT}(?:/{_COMPONENT})*$"
TAG_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$"
DIGEST_PATTERN = r"^sha256:[a-f0-9]{64}$"
_HOST = re.compile(r"[a-z0-9.-]+:[0-9]{1,5}|[0-9]{12}\.dkr[.-]ecr(-fips)?\.[a-z0-9.-]+", re.ASCII)
"""What is taken for a host. No more: the first part of a name may have dots too."""
MOST_REFERENCE = 640
"""The longest reference: of a host, a name, a tag and a digest."""

REFERENCE_FORMS = "`team/app:0.0.2`, `team/app@sha256:…`, or both; the registry's own host may stand in front"

RepositoryName = Annotated[
    str,
    StringConstraints(pattern=REPOSITORY_PATTERN, min_length=2, max_length=256),
    Field(examples=["team/app"], description="2 to 256 characters; slashes make namespaces"),
]


@dataclass(frozen=True, slots=True)
class Reference:
    """An image as docker users write it: a name with a tag, a digest or both, behind the registry's host or not.

    With both, the digest says which image it is, and the tag has to stand for it: see `service/registry/references.py`.
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
