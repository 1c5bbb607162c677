"""References as they are printed: whether what they say beside the name and the digest holds."""

from collections.abc import Mapping

from service.base.errors import ConflictError, NotFoundError
from service.clients.ecr.images import EcrImages
from service.models.references import Reference
from service.registry.registries import Registries


class References:
    """Checks references. Images are by the name of a registry."""

    def __init__(self, *, registries: Registries, images: Mapping[str, EcrImages]) -> None:
        self._registries = registries
        self._images = images

    async def require(self, registry: str, *asked: Reference) -> None:
        """Let those pass that name this registry's host or none, and beside a digest a tag that stands for it or none.

        :raises NotFoundError: one is of another host.
        :raises ConflictError: a tag does not stand for the digest beside it (`image_tag_moved`).
        """
        for image in asked:
            if image.host is not None:
                await self._require_host(registry, image)
            if image.tag is not None and image.digest is not None:
                await self._require_tag(registry, image)

    async def _require_host(self, registry: str, image: Reference) -> None:
        uri = await self._registries.find(registry).uri(image.repository)
        host = uri.removesuffix(f"/{image.repository}")
        if image.host != host:
            raise NotFoundError("image", str(image), why=f"The host of registry {registry} is {host}.")

    async def _require_tag(self, registry: str, image: Reference) -> None:
        found = await self._images[registry].describe(image)
        if image.tag not in found.tags:
            raise ConflictError(
                f"The tag {image.tag} of {image.repository} does not stand for {image.digest}.", code="image_tag_moved"
            )
