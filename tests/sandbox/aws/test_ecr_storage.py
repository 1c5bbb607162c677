"""The sandbox's archive: what is in it is seen by those who ask for it, and pulled by nobody until it is restored."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from sandbox.aws.ecr.storage import RESTORE_SECONDS
from sandbox.clock import CLOCK
from sandbox.server import Sandbox
from sandbox.story.image_writer import build_index
from tests.conftest import ACCOUNT
from tests.images import image, push_image
from tests.sandbox.clients import sdk

pytestmark = pytest.mark.asyncio

APP, ANY = "team/app", {"imageStatus": "ANY"}
Client = Any


@pytest_asyncio.fixture
async def ecr(aws: Sandbox) -> AsyncIterator[Client]:
    async with sdk("ecr", aws) as client:
        await client.create_repository(repositoryName=APP)
        yield client


async def move(ecr: Client, tag: str, to: str) -> str:
    moved = await ecr.update_image_storage_class(repositoryName=APP, imageId={"imageTag": tag}, targetStorageClass=to)
    return str(moved["imageStatus"])


async def status(ecr: Client, tag: str) -> str:
    [found] = (await ecr.describe_images(repositoryName=APP, imageIds=[{"imageTag": tag}], filter=ANY))["imageDetails"]
    return str(found["imageStatus"])


async def tags(ecr: Client, **given: object) -> tuple[list[str], list[str]]:
    """As the two lists have them."""
    described = await ecr.describe_images(repositoryName=APP, **given)
    listed = await ecr.list_images(repositoryName=APP, **given)
    first = sorted(tag for one in described["imageDetails"] for tag in one.get("imageTags", ()))
    return first, sorted(one["imageTag"] for one in listed["imageIds"] if "imageTag" in one)


async def test_what_is_archived_is_seen_only_by_who_asks_for_it(aws: Sandbox, ecr: Client) -> None:
    for tag in ("1", "2"):
        await push_image(aws, APP, tag, image(tag))
    assert await move(ecr, "1", "ARCHIVE") == "ARCHIVED"
    assert await tags(ecr) == (["2"], ["2"])
    assert await tags(ecr, filter=ANY) == (["1", "2"], ["1", "2"])
    assert await tags(ecr, filter={"imageStatus": "ARCHIVED"}) == (["1"], ["1"])
    with pytest.raises(ClientError, match="ImageNotFoundException"):
        await ecr.describe_images(repositoryName=APP, imageIds=[{"imageTag": "1"}])


async def test_what_is_archived_is_not_pulled_until_the_clock_has_restored_it(aws: Sandbox, ecr: Client) -> None:
    await push_image(aws, APP, "1", image("1"))
    await move(ecr, "1", "ARCHIVE")
    [failure] = (await ecr.batch_get_image(repositoryName=APP, imageIds=[{"imageTag": "1"}]))["failures"]
    assert failure["failureCode"] == "ImageInaccessible"
    assert await move(ecr, "1", "STANDARD") == "ACTIVATING"
    assert await status(ecr, "1") == "ACTIVATING"
    CLOCK.advance(timedelta(seconds=RESTORE_SECONDS))
    assert await status(ecr, "1") == "ACTIVE"
    assert (await ecr.batch_get_image(repositoryName=APP, imageIds=[{"imageTag": "1"}]))["images"]


async def test_a_push_of_the_same_image_restores_it_at_once(aws: Sandbox, ecr: Client) -> None:
    await push_image(aws, APP, "1", image("1"))
    await move(ecr, "1", "ARCHIVE")
    await push_image(aws, APP, "1", image("1"))
    assert await status(ecr, "1") == "ACTIVE"


async def test_layers_are_archived_with_the_last_image_that_has_them(aws: Sandbox, ecr: Client) -> None:
    digest = image("1").config.digest
    await push_image(aws, APP, "1", image("1"))
    await move(ecr, "1", "ARCHIVE")
    [layer] = (await ecr.batch_check_layer_availability(repositoryName=APP, layerDigests=[digest]))["layers"]
    assert layer["layerAvailability"] == "ARCHIVED"
    with pytest.raises(ClientError, match="LayerInaccessibleException"):
        await ecr.get_download_url_for_layer(repositoryName=APP, layerDigest=digest)


async def test_an_image_of_an_index_is_archived_after_the_index(aws: Sandbox, ecr: Client) -> None:
    child = image("1")
    await push_image(aws, APP, "child", child)
    await push_image(aws, APP, "index", build_index([child]))
    with pytest.raises(ClientError, match="ImageStorageClassUpdateNotSupportedException"):
        await move(ecr, "child", "ARCHIVE")
    assert [await move(ecr, tag, "ARCHIVE") for tag in ("index", "child")] == ["ARCHIVED", "ARCHIVED"]


async def test_rules_of_the_cache_are_kept_and_told(ecr: Client) -> None:
    asked = {"ecrRepositoryPrefix": "docker-hub", "upstreamRegistryUrl": "registry-1.docker.io"}
    made = await ecr.create_pull_through_cache_rule(**asked)
    assert made["registryId"] == ACCOUNT
    with pytest.raises(ClientError, match="PullThroughCacheRuleAlreadyExistsException"):
        await ecr.create_pull_through_cache_rule(**asked)
    [found] = (await ecr.describe_pull_through_cache_rules())["pullThroughCacheRules"]
    assert asked.items() <= found.items()
    await ecr.delete_pull_through_cache_rule(ecrRepositoryPrefix="docker-hub")
    assert (await ecr.describe_pull_through_cache_rules())["pullThroughCacheRules"] == []
    with pytest.raises(ClientError, match="PullThroughCacheRuleNotFoundException"):
        await ecr.delete_pull_through_cache_rule(ecrRepositoryPrefix="docker-hub")
