"""What tests of docker credentials ask for, and where one reaches."""

from typing import Any

import httpx

from sandbox.server import Sandbox
from tests.conftest import ACCOUNT, REGION

PULL = {"repositories": ["team/app"], "actions": ["pull"]}
PUSH = {"repositories": ["team/app"], "actions": ["pull", "push"]}


def vends(aws: Sandbox) -> list[Any]:
    """The calls by which a broker session was made."""
    calls = aws.calls()
    return [call for call in calls if call.operation == "AssumeRole" and "broker" in call.parameters["RoleArn"]]


async def reaches(aws: Sandbox, password: str, method: str, path: str) -> int:
    """How the registry answers the holder of a password."""
    async with httpx.AsyncClient(base_url=aws.endpoint(ACCOUNT, REGION), auth=("AWS", password)) as registry:
        return (await registry.request(method, path)).status_code
