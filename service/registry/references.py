"""References as they are printed: whether what they say beside the name and the digest holds."""

from service.base.errors import ConflictError, NotFoundError
from service.clients.registry import Registry
from service.models.images import ImageSummary
from service.models.references import Reference


async def require(registry: Registry, *asked: Reference) -> None:
    """Let those pass that name this registry's host or none, and beside a digest a tag that stands for it or none.

    :raises NotFoundError: one is of another host.
    :raises ConflictError: a tag does not stand for the digest beside it (`image_tag_moved`).
    """
    for image in asked:
        if image.host is not None:
            require_host(image, registry.name, await registry.repositories.uri(image.repository))
        if image.tag is not None and image.digest is not None:
            require_tag(image, await registry.images.describe(image))


def require_host(image: Reference, registry: str, uri: str) -> None:
    """:raises NotFoundError: a repository of this URI is of another host."""
    host = uri.removesuffix(f"/{image.repository}")
    if image.host != host:
        raise NotFoundError("image", str(image), why=f"The host of registry {registry} is {host}.")


def require_tag(image: Reference, summary: ImageSummary) -> None:
    """:raises ConflictError: the image does not have the tag (`image_tag_moved`)."""
    if image.tag not in summary.tags:
        raise ConflictError(
            f"The tag {image.tag} of {image.repository} does not stand for {image.digest}.", code="image_tag_moved"
        )
