"""References as they are printed: whether what they say beside the name and the digest holds."""

from service.base.errors import ConflictError, NotFoundError
from service.clients.registry import Registry
from service.models.references import Reference


async def require(registry: Registry, *asked: Reference) -> None:
    """Let those pass that name this registry's host or none, and beside a digest a tag that stands for it or none.

    :raises NotFoundError: one is of another host.
    :raises ConflictError: a tag does not stand for the digest beside it (`image_tag_moved`).
    """
    for image in asked:
        if image.host is not None:
            await _require_host(registry, image)
        if image.tag is not None and image.digest is not None:
            await _require_tag(registry, image)


async def _require_host(registry: Registry, image: Reference) -> None:
    uri = await registry.repositories.uri(image.repository)
    host = uri.removesuffix(f"/{image.repository}")
    if image.host != host:
        raise NotFoundError("image", str(image), why=f"The host of registry {registry.name} is {host}.")


async def _require_tag(registry: Registry, image: Reference) -> None:
    found = await registry.images.describe(image)
    if image.tag not in found.tags:
        raise ConflictError(
            f"The tag {image.tag} of {image.repository} does not stand for {image.digest}.", code="image_tag_moved"
        )
