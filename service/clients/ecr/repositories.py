"""Repositories at Amazon ECR, translated: our values in, our values out. Decides nothing."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from service.base.tasks import both
from service.clients.aws.answers import as_text
from service.clients.aws.sessions import RegistryClients
from service.clients.aws.translation import translated
from service.clients.ecr.pages import page_after
from service.models.repositories import (
    OWN_TAG_PREFIX,
    Encryption,
    EncryptionType,
    Mutability,
    Repository,
    RepositoryCreate,
    RepositorySummary,
    TagSettings,
)

if TYPE_CHECKING:
    from types_aiobotocore_ecr.type_defs import RepositoryTypeDef, TagTypeDef


class EcrRepositories:
    """The repositories of one registry."""

    def __init__(self, clients: RegistryClients) -> None:
        self.settings = clients.settings
        self._ecr = clients.ecr

    async def create(self, asked: RepositoryCreate, own_tags: Mapping[str, str]) -> Repository:
        with translated("CreateRepository", repository=asked.name):
            answer = await self._ecr.create_repository(
                repositoryName=asked.name,
                tags=_to_tags({**asked.tags, **own_tags}),
                imageScanningConfiguration={"scanOnPush": asked.scan_on_push},
                encryptionConfiguration=_to_encryption(asked.encryption),
                **_to_mutability(asked),
            )
            return _with_tags(self._summary(answer["repository"]), asked.tags)

    async def get(self, name: str) -> Repository:
        """One repository with its tags, those of wharfinger's own among them left out."""
        described, tags = await both(self._describe(name), self.tags(name))
        return _with_tags(described, {key: tags[key] for key in tags if not key.startswith(OWN_TAG_PREFIX)})

    async def creation_time(self, name: str) -> str:
        """What tells a repository from another one of its name."""
        return (await self._describe(name)).created_at.isoformat()

    async def uri(self, name: str) -> str:
        """What docker pulls and pushes, without a tag."""
        return (await self._describe(name)).uri

    async def page(self, token: str | None, most: int) -> tuple[Sequence[RepositorySummary], str | None]:
        """A page in ECR's own order, and the token of the next."""
        with translated("DescribeRepositories"):
            answer = await self._ecr.describe_repositories(**page_after(token, most))
            return [self._summary(described) for described in answer["repositories"]], answer.get("nextToken")

    async def delete(self, name: str, *, force: bool) -> None:
        with translated("DeleteRepository", repository=name):
            await self._ecr.delete_repository(repositoryName=name, force=force)

    async def set_mutability(self, name: str, wanted: TagSettings) -> None:
        with translated("PutImageTagMutability", repository=name):
            await self._ecr.put_image_tag_mutability(repositoryName=name, **_to_mutability(wanted))

    async def set_scan_on_push(self, name: str, *, enabled: bool) -> None:
        with translated("PutImageScanningConfiguration", repository=name):
            await self._ecr.put_image_scanning_configuration(
                repositoryName=name, imageScanningConfiguration={"scanOnPush": enabled}
            )

    async def tags(self, name: str) -> dict[str, str]:
        """All resource tags, wharfinger's own among them."""
        with translated("ListTagsForResource", repository=name):
            answer = await self._ecr.list_tags_for_resource(resourceArn=self.settings.repository_arn(name))
            return {tag["Key"]: as_text(tag["Value"]) for tag in answer["tags"]}

    async def add_tags(self, name: str, tags: Mapping[str, str]) -> None:
        with translated("TagResource", repository=name):
            await self._ecr.tag_resource(resourceArn=self.settings.repository_arn(name), tags=_to_tags(tags))

    async def remove_tags(self, name: str, keys: Sequence[str]) -> None:
        with translated("UntagResource", repository=name):
            await self._ecr.untag_resource(resourceArn=self.settings.repository_arn(name), tagKeys=keys)

    async def _describe(self, name: str) -> RepositorySummary:
        with translated("DescribeRepositories", repository=name):
            answer = await self._ecr.describe_repositories(repositoryNames=[name])
            return self._summary(answer["repositories"][0])

    def _summary(self, described: "RepositoryTypeDef") -> RepositorySummary:
        encryption = described.get("encryptionConfiguration", {"encryptionType": "AES256"})
        return RepositorySummary(
            registry=self.settings.name,
            name=described["repositoryName"],
            arn=described["repositoryArn"],
            uri=described["repositoryUri"],
            created_at=described["createdAt"],
            tag_mutability=Mutability(described["imageTagMutability"]),
            mutability_exclusions=_exclusions(described),
            scan_on_push=described.get("imageScanningConfiguration", {}).get("scanOnPush", False),
            encryption=Encryption(type=EncryptionType(encryption["encryptionType"]), kms_key=encryption.get("kmsKey")),
        )


def _with_tags(summary: RepositorySummary, tags: Mapping[str, str]) -> Repository:
    return Repository(**dict(summary), tags=dict(tags))


def _exclusions(described: "RepositoryTypeDef") -> tuple[str, ...]:
    return tuple(one["filter"] for one in described.get("imageTagMutabilityExclusionFilters", ()))


def _to_tags(tags: Mapping[str, str]) -> "list[TagTypeDef]":
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _to_encryption(encryption: Encryption) -> Any:  # noqa: ANN401 - a TypedDict of literals
    key = {"kmsKey": encryption.kms_key} if encryption.kms_key else {}
    return {"encryptionType": encryption.type.value} | key


def _to_mutability(settings: TagSettings) -> Any:  # noqa: ANN401 - as above
    filters = [{"filterType": "WILDCARD", "filter": one} for one in settings.mutability_exclusions]
    return {"imageTagMutability": settings.tag_mutability.value} | (
        {"imageTagMutabilityExclusionFilters": filters} if filters else {}
    )
