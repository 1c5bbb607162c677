"""Images at Amazon ECR, translated."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from service.base.errors import AwsRefusal
from service.clients.aws.answers import as_text
from service.clients.aws.errors import from_code
from service.clients.aws.sessions import RegistryClients
from service.clients.aws.translation import translated
from service.clients.ecr.pages import page_after
from service.clients.oci.manifests import Manifest, written
from service.models.images import ImageStatus, ImageSummary
from service.models.references import Reference

if TYPE_CHECKING:
    from types_aiobotocore_ecr.type_defs import (
        ImageDetailTypeDef,
        ImageFailureTypeDef,
        ImageIdentifierTypeDef,
        ImageTypeDef,
        ResponseMetadataTypeDef,
    )

_MEDIA_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.v1+json",
)
"""All that ECR stores, so that a manifest comes as it was pushed."""
_ANY_STATUS: Any = {"imageStatus": "ANY"}
"""Without it AWS leaves out what is archived. The stubs do not know it yet."""


class EcrImages:
    """The images of one registry."""

    def __init__(self, clients: RegistryClients) -> None:
        self.settings = clients.settings
        self._ecr = clients.ecr
        self._configs = clients.configs

    async def page(self, repository: str, token: str | None, most: int) -> tuple[Sequence[ImageSummary], str | None]:
        """A page in ECR's own order, and the token of the next."""
        with translated("DescribeImages", repository=repository):
            answer = await self._ecr.describe_images(
                repositoryName=repository, filter=_ANY_STATUS, **page_after(token, most)
            )
            return [self._summary(described) for described in answer["imageDetails"]], answer.get("nextToken")

    async def describe(self, image: Reference) -> ImageSummary:
        """:raises NotFoundError: there is no such image or repository."""
        with translated("DescribeImages", repository=image.repository, image=str(image)):
            answer = await self._ecr.describe_images(
                repositoryName=image.repository, imageIds=[_id(image)], filter=_ANY_STATUS
            )
            return self._summary(answer["imageDetails"][0])

    async def manifest(self, image: Reference) -> Manifest:
        """The manifest as it was pushed. To ECR this is a pull, and moves the recorded pull time.

        :raises NotFoundError: there is no such image or repository.
        :raises ConflictError: it is archived (`image_archived`).
        :raises MayImportError: outside an operation, where that could import it from an upstream.
        """
        with translated("BatchGetImage", repository=image.repository, image=str(image)):
            answer = await self._ecr.batch_get_image(
                repositoryName=image.repository, imageIds=[_id(image)], acceptedMediaTypes=_MEDIA_TYPES
            )
            _raise_first(answer["failures"], answer["ResponseMetadata"], image, "ecr:BatchGetImage")
            return _manifest(answer["images"][0])

    async def platforms(self, repository: str, manifest: Manifest) -> tuple[str, ...]:
        """`os/architecture` of an index or of a single image, whose config is read for it.

        None where it tells none: a config is what somebody pushed, so it may be anything, and of any size.
        """
        if manifest.platforms is not None or manifest.config_digest is None:
            return manifest.platforms or ()
        with translated("GetDownloadUrlForLayer", repository=repository):
            answer = await self._ecr.get_download_url_for_layer(
                repositoryName=repository, layerDigest=manifest.config_digest
            )
            platform = written(await self._configs.read(answer["downloadUrl"]))
        return (platform,) if platform else ()

    async def put(self, repository: str, tag: str, manifest: Manifest) -> None:
        """Let `tag` stand for the manifest; that it does already is no error.

        :raises ConflictError: the tag is immutable, or the repository lacks what the manifest lists.
        """
        media_type: Any = {"imageManifestMediaType": manifest.media_type} if manifest.media_type else {}
        with translated("PutImage", repository=repository, image=f"{repository}:{tag}"):
            try:
                await self._ecr.put_image(
                    repositoryName=repository,
                    imageTag=tag,
                    imageManifest=manifest.text,
                    imageDigest=manifest.digest,
                    **media_type,
                )
            except self._ecr.exceptions.ImageAlreadyExistsException:
                return

    async def delete(self, image: Reference) -> None:
        """By tag: that tag, and with the last one the image. By digest: the image with all its tags.

        :raises NotFoundError: there is no such image or repository.
        :raises ConflictError: it is part of an index (`image_referenced`).
        """
        with translated("BatchDeleteImage", repository=image.repository, image=str(image)):
            answer = await self._ecr.batch_delete_image(repositoryName=image.repository, imageIds=[_id(image)])
            _raise_first(answer["failures"], answer["ResponseMetadata"], image, "ecr:BatchDeleteImage")

    def _summary(self, described: "ImageDetailTypeDef") -> ImageSummary:
        return ImageSummary(
            registry=self.settings.name,
            repository=described["repositoryName"],
            digest=described["imageDigest"],
            tags=tuple(sorted(described.get("imageTags", ()))),
            size_bytes=described.get("imageSizeInBytes"),
            media_type=described.get("imageManifestMediaType"),
            pushed_at=described.get("imagePushedAt"),
            pulled_at=described.get("lastRecordedPullTime"),
            status=ImageStatus(as_text(described.get("imageStatus", "ACTIVE")).lower()),
        )


def _manifest(image: "ImageTypeDef") -> Manifest:
    digest, text = as_text(image["imageId"]["imageDigest"]), as_text(image["imageManifest"])
    media_type = image.get("imageManifestMediaType")
    return Manifest(digest, text, None if media_type is None else as_text(media_type))


def _id(image: Reference) -> "ImageIdentifierTypeDef":
    if image.digest:
        return {"imageDigest": image.digest}
    return {"imageTag": image.tag or ""}


def _raise_first(
    failures: "Sequence[ImageFailureTypeDef]", answer: "ResponseMetadataTypeDef", image: Reference, action: str
) -> None:
    """A batch answers 200 and lists what it could not do; ours are of one image each."""
    if failures:
        refusal = AwsRefusal(failures[0].get("failureCode", "Unknown"), answer["RequestId"])
        subject = {"repository": image.repository, "image": str(image)}
        raise from_code(refusal, answer["HTTPStatusCode"], subject, action)
