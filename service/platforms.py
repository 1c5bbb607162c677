"""Platforms (`os/architecture`, with a variant where there is one): of images and of nodes, and whether they fit."""

from collections.abc import Mapping, Sequence

from service.clients.ecr_images import EcrImages
from service.resources import Reference


def platforms_of(nodes: Sequence[Mapping[str, object]]) -> list[str]:
    """`os/architecture` of the nodes, each once."""
    infos = [one.get("status", {}).get("nodeInfo", {}) for one in nodes]  # type: ignore[attr-defined] # JSON
    return sorted({f"{one.get('operatingSystem', '?')}/{one.get('architecture', '?')}" for one in infos})


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
