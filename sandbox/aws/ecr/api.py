"""ECR's JSON 1.1 API: which function answers an operation, and on what the caller needs leave for it."""

from collections.abc import Awaitable, Callable, Iterable

from sandbox.aws.ecr import cache_rules, images, layers, policies, repositories
from sandbox.aws.ecr.errors import EcrError, denied
from sandbox.aws.ecr.model import checked
from sandbox.aws.ecr.registry import (
    Json,
    Registry,
    describe_registry,
    get_account_setting,
    put_account_setting,
    vend_login,
)
from sandbox.aws.policy import Principal, Request, is_allowed

Handler = Callable[[Registry, Json], Json | Awaitable[Json]]

LOGIN = "GetAuthorizationToken"
OPERATIONS: dict[str, Handler] = {
    "BatchCheckLayerAvailability": layers.batch_check_layer_availability,
    "BatchDeleteImage": images.batch_delete_image,
    "BatchGetImage": images.batch_get_image,
    "CompleteLayerUpload": layers.complete_layer_upload,
    "CreatePullThroughCacheRule": cache_rules.create_pull_through_cache_rule,
    "CreateRepository": repositories.create_repository,
    "DeletePullThroughCacheRule": cache_rules.delete_pull_through_cache_rule,
    "DeleteRepository": repositories.delete_repository,
    "DeleteRepositoryPolicy": policies.delete_repository_policy,
    "DescribeImages": images.describe_images,
    "DescribePullThroughCacheRules": cache_rules.describe_pull_through_cache_rules,
    "DescribeRegistry": describe_registry,
    "DescribeRepositories": repositories.describe_repositories,
    "GetAccountSetting": get_account_setting,
    "GetDownloadUrlForLayer": layers.get_download_url_for_layer,
    "GetRepositoryPolicy": policies.get_repository_policy,
    "InitiateLayerUpload": layers.initiate_layer_upload,
    "ListImages": images.list_images,
    "ListTagsForResource": repositories.list_tags_for_resource,
    "PutAccountSetting": put_account_setting,
    "PutImage": images.put_image,
    "PutImageScanningConfiguration": repositories.put_image_scanning_configuration,
    "PutImageTagMutability": repositories.put_image_tag_mutability,
    "SetRepositoryPolicy": policies.set_repository_policy,
    "TagResource": repositories.tag_resource,
    "UntagResource": repositories.untag_resource,
    "UpdateImageStorageClass": images.update_image_storage_class,
    "UploadLayerPart": layers.upload_layer_part,
}
_REPOSITORY_IN_LISTS = "DescribeRepositories"


async def answer(registry: Registry, principal: Principal, access_key: str, operation: str, given: object) -> Json:
    """The output of an operation, as the service model has it.

    :raises EcrError: of the service model, or `AccessDeniedException`.
    """
    asked = checked(operation, given)
    for resource, policy in _resources(registry, operation, asked):
        require(principal, f"ecr:{operation}", resource, registry.place.account, policy)
    if operation == LOGIN:
        return vend_login(registry, access_key)
    handler = OPERATIONS.get(operation)
    if handler is None:
        raise EcrError("UnsupportedCommandException", f"The sandbox does not imitate {operation}")
    result = handler(registry, asked)
    return await result if isinstance(result, Awaitable) else result


def require(principal: Principal, action: str, resource: str, account: str, policy: str | None) -> None:
    """:raises EcrError: `AccessDeniedException`"""
    request = Request(action=action, resource=resource, principal=principal)
    if not is_allowed(request, resource_account=account, resource_policy=policy):
        raise denied(principal.arn, action, resource)


def _resources(registry: Registry, operation: str, asked: Json) -> Iterable[tuple[str, str | None]]:
    if "repositoryName" in asked:
        names = [asked["repositoryName"]]
    elif operation == _REPOSITORY_IN_LISTS:
        names = asked.get("repositoryNames") or ["*"]
    elif "resourceArn" in asked:
        names = [asked["resourceArn"].partition(":repository/")[2]]
    else:
        return [("*", None)]
    return [(registry.place.repository_arn(name), registry.policy(name)) for name in names]
