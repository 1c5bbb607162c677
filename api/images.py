"""`/v1/images`: list, get by tag or digest, tag, delete."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from api.http.answers import PLAIN, PLAIN_TEXT, TAGGED, Http
from api.http.deps import Cursor, Limit, RegistryName
from api.http.paths import REFERENCE_IN_PATH
from api.http.problems import declare
from api.http.routing import KeyedRoute
from service.base.errors import (
    ConflictError,
    FieldError,
    NotFoundError,
    ParameterError,
    PreconditionError,
    TooLargeError,
)
from service.models.images import Image, ImagePage, ImageTagging, TaggedImage
from service.models.references import MOST_REFERENCE, REFERENCE_FORMS, Reference, RepositoryName

router = APIRouter(prefix="/v1/images", tags=["images"], route_class=KeyedRoute)


async def image_reference(
    reference: Annotated[
        str,
        Path(
            max_length=MOST_REFERENCE,
            examples=["team/app:0.0.2"],
            description=f"{REFERENCE_FORMS}; as it is or percent-encoded",
        ),
    ],
) -> Reference:
    try:
        return Reference.parse(reference)
    except ValueError as error:
        mistake = FieldError("path.reference", str(error))
        raise ParameterError("The reference is not valid.", errors=[mistake]) from None


ImageReference = Annotated[Reference, Depends(image_reference)]


@router.get(
    "",
    operation_id="list_images",
    summary="List the images of a repository",
    description="Each with its tags, its size and when it was pushed and pulled, in ECR's order.",
    responses=declare(NotFoundError),
)
async def list_images(
    http: Http,
    repository: Annotated[RepositoryName, Query()],
    registry: RegistryName = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> ImagePage:
    return http.page(await http.services.images.list(http.caller, registry, repository, cursor=cursor, limit=limit))


@router.get(
    REFERENCE_IN_PATH,
    operation_id="get_image",
    summary="Get an image: its layers, and the platforms of an index",
    description="`Accept: text/plain` answers its fully qualified reference by digest alone. The ETag is its digest.",
    responses=PLAIN_TEXT | TAGGED | declare(NotFoundError, ConflictError),
    response_model=Image,
)
async def get_image(image: ImageReference, http: Http, registry: RegistryName = None) -> object:
    described = await http.services.images.get(http.caller, registry, image)
    http.etag(described.digest)
    return http.line(described.uri) if http.wants(PLAIN) else described


@router.put(
    REFERENCE_IN_PATH,
    operation_id="tag_image",
    summary="Let a tag stand for an image of the same registry",
    description=(
        "A tag that stands for it already stays, and that is a success. With a digest beside the tag, it is moved only "
        "if that is what it stands for now."
    ),
    responses=declare(NotFoundError, ConflictError, PreconditionError, TooLargeError),
)
async def tag_image(
    image: ImageReference, body: ImageTagging, http: Http, registry: RegistryName = None
) -> TaggedImage:
    done = await http.services.images.tag(await http.call(), registry, image, body)
    http.note(done)
    http.etag(done.value.digest)
    return done.value


@router.delete(
    REFERENCE_IN_PATH,
    status_code=204,
    operation_id="delete_image",
    summary="Delete a tag, or by digest an image with all its tags",
    description=(
        "Removing the last tag of an image deletes the image. With a tag and a digest, the digest rules: the image "
        "goes, if the tag stands for it."
    ),
    responses=declare(NotFoundError, ConflictError, PreconditionError),
)
async def delete_image(image: ImageReference, http: Http, registry: RegistryName = None) -> None:
    http.note(await http.services.images.delete(await http.call(), registry, image))
