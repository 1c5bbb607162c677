"""Where gates look: images at ECR, the account's own EKS and IAM, a registry of another account."""

from collections.abc import AsyncIterator

import httpx
import pytest_asyncio

from sandbox.places import OTHER_ACCOUNT
from sandbox.server import Sandbox
from service.base.settings import RegistrySettings, Settings
from tests.api.gates.preflights import Sdk
from tests.conftest import REGION, Connect, MakeKey, Serve
from tests.images import image, publish, push_image
from tests.sandbox.clients import sdk


@pytest_asyncio.fixture
async def pushed(aws: Sandbox) -> Sandbox:
    """The repository `myapp` with the tags `1` and, for another architecture, `arm`."""
    await publish(aws, "myapp", "1")
    await push_image(aws, "myapp", "arm", image("three", "arm64"))
    return aws


@pytest_asyncio.fixture
async def eks(pushed: Sandbox) -> AsyncIterator[Sdk]:
    """EKS as the account's operator."""
    async with sdk("eks", pushed) as client:
        yield client


@pytest_asyncio.fixture
async def iam(pushed: Sandbox) -> AsyncIterator[Sdk]:
    """IAM as the account's operator."""
    async with sdk("iam", pushed) as client:
        yield client


@pytest_asyncio.fixture
async def abroad(
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey, pushed: Sandbox
) -> AsyncIterator[httpx.AsyncClient]:
    """A viewer of a service with a third registry, `other`, of another account, where the repository `theirs` is."""
    other = RegistrySettings.model_validate(
        {
            "name": "other",
            "account_id": OTHER_ACCOUNT,
            "region": REGION,
            "role": f"arn:aws:iam::{OTHER_ACCOUNT}:role/wharfinger",
            "endpoint": pushed.endpoint(OTHER_ACCOUNT, REGION),
        }
    )
    async with sdk("ecr", pushed, account=OTHER_ACCOUNT) as ecr:
        await ecr.create_repository(repositoryName="theirs")
    changed = settings.model_copy(update={"registries": (*settings.registries, other)})
    async with serve(changed) as app:
        yield connect(app, await make_key("viewer"))
