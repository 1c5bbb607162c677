"""Lists of AWS's that take several pages, and that never end."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from service.base.errors import AwsUnavailableError
from service.base.settings import DeadlineSettings, RegistrySettings
from service.clients.aws.sessions import Aws, RegistryClients
from service.clients.registry import Registry

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def clients(registries: tuple[RegistrySettings, ...]) -> AsyncIterator[RegistryClients]:
    aws = Aws(registries, DeadlineSettings())
    yield (await aws.open())["local"]
    await aws.close()


def goes_on_where_it_began(parsed: dict[str, object], **_: object) -> None:
    parsed["nextToken"] = "again"


@pytest.mark.parametrize("operation", ["ListNodegroups", "ListFargateProfiles"])
async def test_a_list_that_goes_round_in_circles_is_given_up(clients: RegistryClients, operation: str) -> None:
    """A token twice: who follows it asks AWS for ever."""
    (await clients.eks.get()).meta.events.register(f"after-call.eks.{operation}", goes_on_where_it_began)
    eks = Registry(clients).eks("demo")
    async with asyncio.timeout(20):
        with pytest.raises(AwsUnavailableError):
            await (eks.node_group_roles() if operation == "ListNodegroups" else eks.fargate_roles())
