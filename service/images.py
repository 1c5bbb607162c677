"""Images: list, get, tag, delete."""

import asyncio
from collections.abc import Mapping, Sequence

from service import authz, cursors
from service.authz import Action, Caller, Target
from service.clients.ecr_images import EcrImages
from service.errors import FieldError, InvalidError, NotFoundError, ParameterError
from service.image_resources import Image, ImagePage, ImageSummary, ImageTagging, TaggedImage
from service.ledger import Call, Done, Intent, Json, Open, Outcome, Settled, Status
from service.operations import Operations
from service.references import References
from service.registries import Registries
from service.resources import Reference


class Images:
    def __init__(
        self,
        *,
        registries: Registries,
        clients: Mapping[str, EcrImages],
        references: References,
        operations: Operations,
    ) -> None:
        self._registries = registries
        self._references = references
        self._clients = clients
        self._operations = operations
        operations.settles(Action.IMAGE_TAG, self._settle_tag)
        operations.settles(Action.IMAGE_DELETE, self._settle_delete)

    async def list(
        self, caller: Caller, registry: str | None, repository: str, *, cursor: str | None, limit: int
    ) -> ImagePage:
        """The images of a repository, in ECR's order.

        :raises NotFoundError: there is no such repository that the caller may know of.
        :raises ParameterError: the cursor is not one of this list.
        """
        client = self._find(registry)
        authz.require(caller, Action.REPOSITORY_READ, Target(client.settings.name, repository))
        token = cursors.decode_token(cursor) if cursor else None
        found, after = await _page(client, repository, token, limit)
        return ImagePage(items=list(found), next_cursor=cursors.encode({"token": after}) if after else None)

    async def get(self, caller: Caller, registry: str | None, image: Reference) -> Image:
        """An image with its layers and platforms.

        :raises NotFoundError: there is no such image that the caller may know of.
        :raises ConflictError: its tag does not stand for its digest.
        """
        client = self._find(registry)
        authz.require(caller, Action.REPOSITORY_READ, Target(client.settings.name, image.repository))
        await self._references.require(client.settings.name, image)
        found, uri = await asyncio.gather(client.describe(image), self._registries.find(registry).uri(image.repository))
        # By digest: the tag may be moved in between.
        manifest = await client.manifest(Reference(image.repository, None, found.digest))
        return Image(
            **found.model_dump(),
            uri=f"{uri}@{found.digest}",
            layers=manifest.layers,
            platforms=manifest.platforms,
        )

    async def tag(self, call: Call, registry: str | None, image: Reference, asked: ImageTagging) -> Done:
        """Let the tag of `image` stand for the source, whose manifest is put again as it is.

        :raises ParameterError: `image` names a digest, not a tag.
        :raises ConflictError: the tag is immutable, or the repository lacks layers of a source from another one.
        :raises PreconditionError: `If-Match` names another digest than the tag stands for.
        """
        client, source, tag = self._find(registry), asked.within(image.repository), _tag_of(image)

        async def act(_: str) -> Outcome:
            await self._references.require(client.settings.name, image, source)
            await _match(client, image, call)
            manifest = await client.manifest(source)
            await client.put(image.repository, tag, manifest)
            return Outcome(_tagged(client, image.repository, tag, manifest.digest))

        target = Target(client.settings.name, image.repository)
        needed = ((Action.IMAGE_TAG, target), (Action.REPOSITORY_READ, Target(target.registry, source.repository)))
        request = {"reference": f"{image.repository}:{tag}", "source": str(source)}
        intent = Intent(Action.IMAGE_TAG, target, request, requires=needed)
        return await self._operations.run(call, intent, act)

    async def delete(self, call: Call, registry: str | None, image: Reference) -> Done:
        """By tag: that tag, and with the last one the image. By digest: the image with all its tags.

        :raises ConflictError: it is part of an index (`image_referenced`).
        """
        client = self._find(registry)

        async def act(_: str) -> Outcome:
            await self._references.require(client.settings.name, image)
            await _match(client, image, call)
            await client.delete(image)
            return Outcome({})

        target = Target(client.settings.name, image.repository)
        intent = Intent(Action.IMAGE_DELETE, target, {"reference": str(image)})
        return await self._operations.run(call, intent, act)

    def _find(self, registry: str | None) -> EcrImages:
        return self._clients[self._registries.find(registry).name]

    async def _settle_tag(self, operation: Open) -> Settled:
        client = self._find(operation.registry)
        image, source = (Reference.parse(operation.request[name]) for name in ("reference", "source"))
        digest = await _digest(client, image)
        if digest is None:
            return Settled(Status.FAILED, "the tag is not there")
        if digest != (source.digest or await _digest(client, source)):
            return Settled(Status.FAILED, "the tag stands for another image than its source does now")
        result = _tagged(client, image.repository, _tag_of(image), digest)
        return Settled(Status.SUCCEEDED, "the tag stands for the image that was asked for", result)

    async def _settle_delete(self, operation: Open) -> Settled:
        image = Reference.parse(operation.request["reference"])
        if await _digest(self._find(operation.registry), image) is None:
            return Settled(Status.SUCCEEDED, "absent; who deleted it is not proven", {})
        return Settled(Status.FAILED, "it is still there")


async def _page(
    client: EcrImages, repository: str, token: str | None, limit: int
) -> tuple[Sequence[ImageSummary], str | None]:
    try:
        return await client.page(repository, token, limit)
    except InvalidError as error:
        if token is None:
            raise
        # Everything else has been checked before.
        raise cursors.refusal() from error


def _tag_of(image: Reference) -> str:
    if image.tag is None:
        raise ParameterError(
            "Only a tag can be moved.", errors=[FieldError("path.reference", "name a tag, like team/app:0.0.2")]
        )
    return image.tag


def _tagged(client: EcrImages, repository: str, tag: str, digest: str) -> Json:
    return TaggedImage(registry=client.settings.name, repository=repository, tag=tag, digest=digest).model_dump()


async def _digest(client: EcrImages, image: Reference) -> str | None:
    try:
        return (await client.describe(image)).digest
    except NotFoundError:
        return None


async def _match(client: EcrImages, image: Reference, call: Call) -> None:
    if call.if_match is not None:
        digest = await _digest(client, image)
        call.require_match(digest and f'"{digest}"', str(image))
