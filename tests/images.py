"""Small images, pushed as a container client pushes them."""

import asyncio

from sandbox.server import Sandbox
from sandbox.story.image_writer import Image, ImageConfig, Index, Platform, build_image, build_layer
from sandbox.story.push import push
from tests.conftest import ACCOUNT, REGION
from tests.sandbox.clients import sdk


def image(content: str, architecture: str = "amd64") -> Image:
    layer = build_layer({"/content": content.encode()})
    return build_image([layer], ImageConfig(platform=Platform(architecture=architecture)))


async def publish(aws: Sandbox, repository: str, *tags: str) -> None:
    """A new repository with an image by each tag, no two the same."""
    async with sdk("ecr", aws) as ecr:
        await ecr.create_repository(repositoryName=repository)
    for tag in tags:
        await push_image(aws, repository, tag, image(tag))


async def push_image(aws: Sandbox, repository: str, tag: str, target: Image | Index, *, region: str = REGION) -> str:
    """Push by the account's own operator, past wharfinger; gives the digest."""
    username, password = aws.docker_login(ACCOUNT, region)
    return await asyncio.to_thread(
        push,
        target,
        host=aws.host(ACCOUNT, region),
        repository=repository,
        tag=tag,
        username=username,
        password=password,
    )
