"""On import: what each start of the service reads of botocore's models and imports late is here already."""

import asyncio
import importlib

from service.base.settings import DeadlineSettings, RegistrySettings
from service.clients.aws.sessions import Aws

for _name in ("aiosqlite", "encodings.idna", "psycopg", "uvloop"):
    importlib.import_module(_name)

_REGISTRY = RegistrySettings(name="none", account_id="111111111111", region="eu-central-1")


async def _open() -> None:
    aws = Aws((_REGISTRY,), DeadlineSettings())
    await aws.open()
    await aws.close()


asyncio.run(_open())
