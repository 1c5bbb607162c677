"""What a node finds when it pulls an image: one of the sandbox's own registries, or none."""

import json
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.aws.ecr import images, manifests
from sandbox.aws.ecr.errors import EcrError
from sandbox.aws.ecr.registry import Registry

_REFERENCE = re.compile(
    r"(?:(?P<host>[A-Za-z0-9.-]+(?::[0-9]+)?)/)?"
    r"(?P<name>[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_ANY = frozenset({"", "unknown"})


class PullError(Exception):
    """The image did not come; `reason` is the kubelet's word for it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Pulled:
    """An image on a node: the digest it was pulled by, and the environment and user that its configuration sets."""

    image_id: str
    environment: dict[str, str]
    user: str


class Images:
    """Pulls for the nodes. What a node may pull, its role says; that is not looked at here."""

    def __init__(self, registries: Sequence[Registry]) -> None:
        self._registries = registries

    def pull(self, reference: str, platform: tuple[str, str]) -> Pulled:
        """:param platform: operating system and architecture of the node. :raises PullError:"""
        matched = _REFERENCE.fullmatch(reference)
        if matched is None:
            message = f'Failed to apply default image tag "{reference}": couldn\'t parse image name "{reference}": '
            raise PullError("InvalidImageName", message + "invalid reference format")
        wanted = matched["digest"] or matched["tag"] or "latest"
        registry = next((one for one in self._registries if one.host == matched["host"]), None)
        if registry is None:
            raise _foreign(reference, matched["host"])
        try:
            repository = registry.repository(matched["name"])
        except EcrError:
            raise _not_found(reference) from None
        row = images.find_active(registry, repository, wanted)
        if row is None:
            raise _not_found(reference)
        images.note_pull(registry, row)
        config = self._config(registry, repository, row, platform, reference)
        image_id = f"{matched['host']}/{matched['name']}@{row['digest']}"
        return Pulled(image_id, _environment(config), (config.get("config") or {}).get("User") or "")

    def _config(
        self,
        registry: Registry,
        repository: sqlite3.Row,
        row: sqlite3.Row,
        platform: tuple[str, str],
        reference: str,
    ) -> dict[str, Any]:
        """The configuration of the image for a platform, through the index if it is one."""
        document = json.loads(row["manifest"])
        if row["media_type"] in manifests.INDEXES:
            fitting = [one for one in document["manifests"] if _fits(one.get("platform") or {}, platform)]
            child = images.find_active(registry, repository, fitting[0]["digest"]) if fitting else None
            if child is None:
                raise _wrong_platform(reference)
            document = json.loads(child["manifest"])
        try:
            config: dict[str, Any] = json.loads(registry.state.blob(document["config"]["digest"]).read_bytes())
        except (OSError, ValueError):
            # Not the configuration of an image: an artifact of another kind.
            raise _wrong_platform(reference) from None
        if not _fits(config, platform):
            raise _wrong_platform(reference)
        return config


def _fits(stated: dict[str, Any], platform: tuple[str, str]) -> bool:
    built_for = (stated.get("os", ""), stated.get("architecture", ""))
    return all(one in _ANY or one == wanted for one, wanted in zip(built_for, platform, strict=True))


def _environment(config: dict[str, Any]) -> dict[str, str]:
    pairs = (one.partition("=") for one in (config.get("config") or {}).get("Env") or ())
    return {name: value for name, _, value in pairs}


def _failed(reference: str, code: str, why: str) -> PullError:
    text = f'rpc error: code = {code} desc = failed to pull and unpack image "{reference}": {why}'
    return PullError("ErrImagePull", text)


def _not_found(reference: str) -> PullError:
    return _failed(reference, "NotFound", f"failed to resolve image: {reference}: not found")


def _wrong_platform(reference: str) -> PullError:
    return _failed(reference, "NotFound", "no match for platform in manifest: not found")


def _foreign(reference: str, host: str | None) -> PullError:
    where = host or "registry-1.docker.io"
    why = f'failed to do request: Head "https://{where}/v2/": dial tcp: lookup {where}: no such host'
    return _failed(reference, "Unknown", f"failed to resolve image: {why}")
