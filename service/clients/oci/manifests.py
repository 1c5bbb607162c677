"""Image manifests: kept as the exact text that the digest is of, and read for what they list.

Whoever may push has written them, so anything may be missing or of another type: what can't be told is left out.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeGuard

from service.base.untrusted import NotJsonError, read_json
from service.models.images import Layer

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
            Layer(digest=one["digest"], size_bytes=_size(one.get("size")), media_type=str(one.get("mediaType", "")))
            for one in _objects(self._document.get("layers"))
            if isinstance(one.get("digest"), str)
        )

    @property
    def platforms(self) -> tuple[str, ...] | None:
        """`os/architecture`, with `/variant` where there is one; None for a single image, whose config has it."""
        if "manifests" not in self._document:
            return None
        named = [written(one.get("platform")) for one in _objects(self._document["manifests"])]
        return tuple(dict.fromkeys(one for one in named if one is not None))

    @property
    def config_digest(self) -> str | None:
        """Of a single image: the blob that says what it was built for."""
        config = self._document.get("config")
        digest = config.get("digest") if isinstance(config, dict) else None
        return str(digest) if digest else None

    @cached_property
    def _document(self) -> dict[str, Any]:
        try:
            content = read_json(self.text)
        except NotJsonError:
            return {}
        return content if isinstance(content, dict) else {}


def written(platform: object) -> str | None:
    """A platform as docker writes it: `linux/arm64/v8`; None for what is none."""
    if not isinstance(platform, dict):
        return None
    system, architecture, variant = (platform.get(name) for name in ("os", "architecture", "variant"))
    if not _is_named(system) or not _is_named(architecture) or system == _UNKNOWN:
        return None
    return "/".join(part for part in (system, architecture, variant) if _is_named(part))


def _is_named(part: object) -> TypeGuard[str]:
    return isinstance(part, str) and part != ""


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _size(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0
