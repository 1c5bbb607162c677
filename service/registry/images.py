"""Images: list, get, tag, delete."""

from collections.abc import Mapping

from service.access import authz
from service.access.actions import Action
from service.access.authz import Caller, Target
from service.base import paging
from service.base.errors import ConflictError, FieldError, ParameterError
from service.base.tasks import both, or_none
from service.clients.oci.manifests import Manifest
from service.clients.registry import Registry
from service.models.images import Image, ImagePage, ImageTagging, TaggedImage, Withheld
from service.models.references import Reference
from service.operations import verdicts
from service.operations.calls import Call, Done, Intent, Json, Open, Outcome, Settled, nothing
from service.operations.operations import Operations, Settling
from service.registry import references
from service.registry.registries import Registries

_WITHHELD = {
    "image_archived": Withheld.ARCHIVED,
    "image_may_import": Withheld.CACHE_RULE,
    "cache_rules_unknown": Withheld.CACHE_RULES_UNKNOWN,
}
"""By the code of the error that the client has for it."""


class Images:
    def __init__(self, *, registries: Registries, operations: Operations) -> None:
        self._registries = registries
        self._operations = operations

    @property
    def settling(self) -> Mapping[Action, Settling]:
        return {
            Action.IMAGE_TAG: Settling(self._settle_tag, looks=True, call="PutImage"),
            Action.IMAGE_DELETE: Settling(self._settle_delete, looks=True, call="BatchDeleteImage"),
        }

    async def list(
        self, caller: Caller, registry: str | None, repository: str, *, cursor: str | None, limit: int
    ) -> ImagePage:
        """The images of a repository, in ECR's order.

        :raises NotFoundError: there is no such repository that the caller may know of.
        :raises ParameterError: the cursor is not one of this list.
        """
        chosen = self._registries.find(registry)
        authz.require(caller, Action.REPOSITORY_READ, Target(chosen.name, repository))
        token = paging.decode_token(cursor) if cursor else None
        with paging.token_in_cursor(token):
            summaries, after = await chosen.images.page(repository, token, limit)
        return ImagePage(items=list(summaries), next_cursor=paging.encode({"token": after}) if after else None)

    async def get(self, caller: Caller, registry: str | None, image: Reference) -> Image:
        """An image with its layers and platforms, or why they can't be told.

        :raises NotFoundError: there is no such image that the caller may know of.
        :raises ConflictError: its tag does not stand for its digest.
        """
        chosen = self._registries.find(registry)
        authz.require(caller, Action.REPOSITORY_READ, Target(chosen.name, image.repository))
        await references.require(chosen, image)
        summary, uri = await both(chosen.images.describe(image), chosen.repositories.uri(image.repository))
        # By digest: the tag may be moved in between.
        read = await _manifest(chosen, Reference(image.repository, None, summary.digest))
        manifest = read if isinstance(read, Manifest) else None
        return Image(
            **summary.model_dump(),
            uri=f"{uri}@{summary.digest}",
            layers=manifest.layers if manifest else (),
            platforms=manifest.platforms if manifest else None,
            manifest_withheld=read if isinstance(read, Withheld) else None,
        )

    async def tag(self, call: Call, registry: str | None, image: Reference, asked: ImageTagging) -> Done[TaggedImage]:
        """Let the tag of `image` stand for the source, whose manifest is put again as it is.

        :raises ParameterError: `image` names a digest, not a tag.
        :raises ConflictError: the tag is immutable, or the repository lacks layers of a source from another one.
        :raises PreconditionError: `If-Match` names another digest than the tag stands for.
        """
        chosen, source, tag = self._registries.find(registry), asked.within(image.repository), _tag_of(image)
        moved = Reference(image.repository, tag, None)

        async def act(operation_id: str) -> Outcome[TaggedImage]:
            await references.require(chosen, image, source)
            # Both end before an error is told: what reads on under the permit of a row that has failed could import.
            state, manifest = await both(_state(chosen, moved), chosen.images.manifest(source))
            _require_match(call, moved, state)
            await self._operations.keep(operation_id, state | {"wanted": manifest.digest})
            await chosen.images.put(image.repository, tag, manifest)
            return Outcome.of(_tagged(chosen, image.repository, tag, manifest.digest))

        target = Target(chosen.name, image.repository)
        needed = ((Action.IMAGE_TAG, target), (Action.REPOSITORY_READ, Target(target.registry, source.repository)))
        request = {"reference": str(moved), "source": str(source)}
        intent = Intent(
            Action.IMAGE_TAG, target, request, TaggedImage.model_validate, requires=needed, keeps_before=True
        )
        return await self._operations.run(call, intent, act)

    async def delete(self, call: Call, registry: str | None, image: Reference) -> Done[None]:
        """By tag: that tag, and with the last one the image. By digest: the image with all its tags.

        :raises ConflictError: it is part of an index (`image_referenced`).
        """
        chosen = self._registries.find(registry)

        async def act(operation_id: str) -> Outcome[None]:
            await references.require(chosen, image)
            state = await _state(chosen, image)
            _require_match(call, image, state)
            await self._operations.keep(operation_id, state)
            await chosen.images.delete(image)
            return Outcome.empty()

        target = Target(chosen.name, image.repository)
        intent = Intent(Action.IMAGE_DELETE, target, {"reference": str(image)}, nothing, keeps_before=True)
        return await self._operations.run(call, intent, act)

    async def _settle_tag(self, operation: Open) -> Settled:
        registry, image = self._registries.find(operation.registry), Reference.parse(operation.request["reference"])
        state = await _state(registry, image)
        wanted = await _wanted(registry, operation)
        result = _tagged(registry, image.repository, _tag_of(image), wanted).model_dump()
        return verdicts.change(operation, state | {"wanted": wanted}, {"digest": wanted}, result=result, found=state)

    async def _settle_delete(self, operation: Open) -> Settled:
        state = await _state(self._registries.find(operation.registry), Reference.parse(operation.request["reference"]))
        return verdicts.deletion(operation, state if state["digest"] else None, found=state)


async def _state(registry: Registry, image: Reference) -> Json:
    """What the reference stands for; and when image and repository were made, which tells them from later ones."""
    summary, repository = await both(
        or_none(registry.images.describe(image)), or_none(registry.repositories.creation_time(image.repository))
    )
    pushed_at = summary.pushed_at.isoformat() if summary and summary.pushed_at else None
    return {"digest": summary and summary.digest, "pushed_at": pushed_at, "repository": repository}


async def _manifest(registry: Registry, image: Reference) -> Manifest | Withheld:
    try:
        return await registry.images.manifest(image)
    except ConflictError as error:
        if error.code not in _WITHHELD:
            raise
        return _WITHHELD[error.code]


def _tag_of(image: Reference) -> str:
    if image.tag is None:
        raise ParameterError(
            "Only a tag can be moved.", errors=[FieldError("path.reference", "name a tag, like team/app:0.0.2")]
        )
    return image.tag


def _tagged(registry: Registry, repository: str, tag: str, digest: str) -> TaggedImage:
    return TaggedImage(registry=registry.name, repository=repository, tag=tag, digest=digest)


async def _wanted(registry: Registry, operation: Open) -> str:
    """The digest that a tag is to stand for; of an operation that kept nothing, what its source stands for now."""
    if operation.before:
        return str(operation.before["wanted"])
    source = Reference.parse(operation.request["source"])
    summary = await or_none(registry.images.describe(source))
    return summary.digest if summary else str(source)


def _require_match(call: Call, image: Reference, state: Json) -> None:
    digest = state["digest"]
    call.require_match(digest and f'"{digest}"', str(image))
