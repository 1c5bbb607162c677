"""How the clients of AWS are opened."""

import pytest

from service.base.settings import DeadlineSettings, RegistrySettings
from service.clients.aws.sessions import Aws

pytestmark = pytest.mark.asyncio


async def test_what_botocore_knows_of_a_service_is_read_once(registries: tuple[RegistrySettings, ...]) -> None:
    first, again = Aws(registries, DeadlineSettings()), Aws(registries, DeadlineSettings())
    try:
        opened = [*(await first.open()).values(), *(await again.open()).values()]
        of_ecr = [one for clients in opened for one in (clients.ecr, await clients.lent_ecr.get())]
        models = [one.meta.service_model.metadata for one in of_ecr]
        assert len(models) == 8
        assert all(model is models[0] for model in models)
    finally:
        await first.close()
        await again.close()
