"""What npm has for `openapi.yaml`: a TypeScript client that compiles strictly and does the main job, and a lint."""

import asyncio
import json
from pathlib import Path

import pytest

from sandbox.server import Sandbox
from tests.conftest import ACCOUNT, REGION
from tests.contract.conftest import Npm
from tests.images import publish
from tests.marks import only_sqlite
from tests.service_process import ServiceProcess

_CONTRACT = Path(__file__).parents[2] / "openapi.yaml"
pytestmark = [pytest.mark.needs("node"), pytest.mark.needs("npm")]


@only_sqlite
@pytest.mark.asyncio
async def test_a_typescript_client_does_the_main_job(
    npm: Npm, service: ServiceProcess, secret: str, aws: Sandbox
) -> None:
    await publish(aws, "team/app", "1")
    service.start()
    npm("openapi-ts", "--input", str(_CONTRACT), "--output", "client")
    npm("tsc", "--project", ".")
    seen = json.loads(await asyncio.to_thread(npm, "node", "built/main.js", URL=service.url, KEY=secret))
    uri = f"{aws.host(ACCOUNT, REGION)}/team/web"
    assert seen == {
        "uri": uri,
        "replayed": [uri, "true"],
        "taken": "repository_exists",
        "token": ["AWS", ["team/web"]],
        "checks": ["platforms", "permissions", "namespace", "node_roles", "repository_policy", "region"],
        "event": "succeeded",
        "deployment": ["succeeded", True],
        "missing": "image_not_found",
        "trail": ["failed", "replayed", "succeeded"],
    }


def test_the_contract_is_without_errors(npm: Npm) -> None:
    npm("redocly", "lint", str(_CONTRACT))
