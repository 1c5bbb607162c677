"""Image manifests: kept as the exact text that the digest is of, and read for what they list."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from service.image_resources import Layer

_UNKNOWN = "unknown"
"""The platform that buildx gives to the attestations it puts in an index beside the images."""


@dataclass(frozen=True)
class Manifest:
    """A manifest (OCI image spec 1.1 or Docker schema 2) of an image or of an index of images."""

    digest: str
    text: str
    media_type: str | None

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Lowest first; none for an index."""
        return tuple(
            Layer(digest=one["digest"], size_bytes=one["size"], media_type=one["mediaType"])
            for one in self._document.get("layers", ())
        )

    @property
    def platforms(self) -> tuple[str, ...] | None:
        """`os/architecture`, with `/variant` where there is one; None for a single image, whose config has it."""
        if "manifests" not in self._document:
            return None
        named = [one["platform"] for one in self._document["manifests"] if "platform" in one]
        return tuple(dict.fromkeys(written(one) for one in named if one["os"] != _UNKNOWN))

    @property
    def config_digest(self) -> str | None:
        """Of a single image: the blob that says what it was built for."""
        found = self._document.get("config", {}).get("digest")
        return str(found) if found else None

    @cached_property
    def _document(self) -> dict[str, Any]:
        return dict(json.loads(self.text))


def written(platform: Mapping[str, str]) -> str:
    """A platform as docker writes it: `linux/arm64/v8`."""
    parts = (platform["os"], platform["architecture"], platform.get("variant"))
    return "/".join(part for part in parts if part)
