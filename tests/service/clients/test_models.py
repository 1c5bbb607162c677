"""The model of ECR that our clients speak: the pinned botocore's with the overlay."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from service.base.settings import DeadlineSettings, RegistrySettings
from service.clients.aws.lengths import Length
from service.clients.aws.sessions import Aws, RegistryClients
from service.clients.ecr.policies import EcrPolicies
from service.iam.documents import MOST_CHARACTERS

pytestmark = pytest.mark.asyncio

NEW = {
    "delete_signing_configuration",
    "deregister_pull_time_update_exclusion",
    "describe_image_signing_status",
    "describe_replication_backfill_results",
    "get_signing_configuration",
    "list_image_referrers",
    "list_pull_time_update_exclusions",
    "list_replication_backfills",
    "put_signing_configuration",
    "register_pull_time_update_exclusion",
    "start_replication_backfill",
    "stop_replication_backfill",
    "update_image_storage_class",
}


@pytest_asyncio.fixture(params=[None, "arn:aws:iam::111111111111:role/wharfinger"], ids=["own", "assumed"])
async def clients(request: pytest.FixtureRequest) -> AsyncIterator[RegistryClients]:
    named = {"name": "local", "account_id": "111111111111", "region": "eu-central-1", "role": request.param}
    aws = Aws([RegistrySettings.model_validate(named)], DeadlineSettings())
    yield (await aws.open())["local"]
    await aws.close()


async def test_every_client_of_ecr_has_the_operations_that_the_pinned_botocore_lacks(clients: RegistryClients) -> None:
    for client in (clients.ecr, await clients.lent_ecr.get()):
        assert set(dir(client)) >= NEW
        assert client.can_paginate("list_replication_backfills")


async def test_archived_images_can_be_asked_for(clients: RegistryClients) -> None:
    shape = clients.ecr.meta.service_model.operation_model("DescribeImages").input_shape
    assert shape.members["filter"].members["imageStatus"].enum == ["ACTIVE", "ARCHIVED", "ACTIVATING", "ANY"]


async def test_policies_are_held_to_the_length_that_the_model_has(clients: RegistryClients) -> None:
    assert EcrPolicies(clients).length == Length(0, MOST_CHARACTERS)
