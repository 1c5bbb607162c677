"""Platforms (`os/architecture`, with a variant where there is one): of images and of nodes, and whether they fit."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.clients.ecr.images import EcrImages
from service.models.references import Reference

Node = Mapping[str, Any]


def platforms_of(nodes: Sequence[Node]) -> list[str]:
    """`os/architecture` of the nodes that tell theirs, each once."""
    return sorted({told for one in nodes if (told := _platform_of(one))})


def are_unfit(nodes: Sequence[Node], built: Sequence[str]) -> bool:
    """Whether none of the nodes can run an image: where one does not tell, or there is none, it is not known."""
    told = [_platform_of(one) for one in nodes]
    return bool(built and told) and None not in told and not fitting(built, platforms_of(nodes))


def _platform_of(node: Node) -> str | None:
    info = (node.get("status") or {}).get("nodeInfo") or {}
    system, architecture = info.get("operatingSystem"), info.get("architecture")
    return f"{system}/{architecture}" if system and architecture else None


async def built_for(images: EcrImages, image: Reference) -> tuple[str, tuple[str, ...]]:
    """The digest of an image, and the platforms it was built for; none where it names none.

    :raises NotFoundError: there is no such image.
    """
    found = await images.describe(image)
    manifest = await images.manifest(Reference(image.repository, None, found.digest))
    return found.digest, await images.platforms(image.repository, manifest)


def fitting(built: Sequence[str], nodes: Sequence[str]) -> set[str]:
    """The platforms of the nodes that an image was built for. Nodes do not tell their variant."""
    return {"/".join(one.split("/")[:2]) for one in built}.intersection(nodes)
