"""What a manifest says: its kind, what it refers to, how large it is."""

import json
import re
from dataclasses import dataclass
from typing import Any

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
IMAGES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})


class ManifestError(ValueError):
    """The text is not a manifest of a kind that ECR takes."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The facts of a manifest. Sizes are bytes, digests `sha256:…`."""

    media_type: str
    artifact_type: str | None
    blobs: tuple[str, ...]
    """Config and layers, those with URLs of their own (foreign layers) left out."""
    children: tuple[str, ...]
    layers_size: int
    subject: str | None
    annotations: dict[str, str]

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEXES


def read(content: bytes, declared: str | None) -> Manifest:
    """The facts of a manifest's bytes; `declared` is the media type that came beside them.

    :raises ManifestError: not JSON, no known media type, or one that differs from the declared.
    """
    try:
        document = json.loads(content)
        return _read(document, declared)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ManifestError(f"not a manifest: {error!r}") from error


def _read(document: Any, declared: str | None) -> Manifest:  # noqa: ANN401 - JSON
    inner = document.get("mediaType")
    if inner and declared and inner != declared:
        raise ManifestError(f"declared as {declared}, but it says {inner}")
    media_type = inner or declared
    if media_type not in IMAGES | INDEXES or document.get("schemaVersion") != 2:  # noqa: PLR2004 - OCI image spec
        raise ManifestError(f"media type {media_type} with schema version {document.get('schemaVersion')}")
    is_index = media_type in INDEXES
    layers = [] if is_index else document["layers"]
    config = None if is_index else document["config"]
    return Manifest(
        media_type=media_type,
        artifact_type=_text(document.get("artifactType") or (config["mediaType"] if config else None)),
        blobs=tuple(_digest(one) for one in [*([config] if config else []), *layers] if not one.get("urls")),
        children=tuple(_digest(one) for one in document["manifests"]) if is_index else (),
        layers_size=sum(_size(one) for one in layers),
        subject=_digest(document["subject"]) if document.get("subject") else None,
        annotations=document.get("annotations") or {},
    )


def _digest(descriptor: dict[str, Any]) -> str:
    digest: str = descriptor["digest"]
    if not _DIGEST.fullmatch(digest):
        raise ValueError(digest)
    return digest


def _size(descriptor: dict[str, Any]) -> int:
    size: int = descriptor["size"]
    if not isinstance(size, int) or size < 0:
        raise ValueError(size)
    return size


def _text(value: str | None) -> str | None:
    if not isinstance(value, str | None):
        raise TypeError(value)
    return value
