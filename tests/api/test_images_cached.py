"""Images under a rule of the pull-through cache: what reads them must not import them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from sandbox.server import Sandbox
from service.clients.aws.reads import MAY_IMPORT
from tests.images import publish
from tests.marks import only_sqlite
from tests.sandbox.clients import deny_us, sdk

pytestmark = [pytest.mark.asyncio, only_sqlite]

Client = Any
"""botocore makes its clients at run time."""
CACHED, OWN = "docker-hub/library/python", "docker-hub-tools/app"


@pytest_asyncio.fixture
async def ecr(aws: Sandbox) -> AsyncIterator[Client]:
    """The account's operator; there are an image that a prefix covers and one that it does not."""
    await publish(aws, CACHED, "1")
    await publish(aws, OWN, "1")
    async with sdk("ecr", aws) as client:
        yield client


async def rule(ecr: Client, prefix: str) -> None:
    await ecr.create_pull_through_cache_rule(ecrRepositoryPrefix=prefix, upstreamRegistryUrl="registry-1.docker.io")


def imports(aws: Sandbox) -> set[str]:
    """What wharfinger sent that may import."""
    return {call.operation for call in aws.calls() if "wharfinger" in call.user_agent} & MAY_IMPORT


async def test_a_get_under_a_prefix_asks_for_no_more_than_a_description(
    aws: Sandbox, ecr: Client, viewer: httpx.AsyncClient
) -> None:
    await rule(ecr, "docker-hub")
    shown = await viewer.get(f"/v1/images/{CACHED}:1")
    assert shown.status_code == 200, shown.text
    assert (shown.json()["manifest_withheld"], shown.json()["layers"]) == ("cache_rule", [])
    assert shown.json()["tags"] == ["1"]
    assert imports(aws) == set()


async def test_a_name_that_no_rule_covers_is_read(aws: Sandbox, ecr: Client, viewer: httpx.AsyncClient) -> None:
    await rule(ecr, "docker-hub")
    shown = (await viewer.get(f"/v1/images/{OWN}:1")).json()
    assert (shown["manifest_withheld"], len(shown["layers"])) == (None, 1)
    assert imports(aws) == {"BatchGetImage"}


async def test_root_covers_what_no_other_rule_does(aws: Sandbox, ecr: Client, viewer: httpx.AsyncClient) -> None:
    await rule(ecr, "ROOT")
    assert (await viewer.get(f"/v1/images/{OWN}:1")).json()["manifest_withheld"] == "cache_rule"
    assert imports(aws) == set()


async def test_where_the_rules_cannot_be_read_nothing_that_may_import_is_sent(
    aws: Sandbox, ecr: Client, viewer: httpx.AsyncClient
) -> None:
    await rule(ecr, "docker-hub")
    async with sdk("iam", aws) as iam:
        await deny_us(iam, "ecr:DescribePullThroughCacheRules")
    shown = (await viewer.get(f"/v1/images/{OWN}:1")).json()
    assert (shown["manifest_withheld"], shown["layers"]) == ("cache_rules_unknown", [])
    assert imports(aws) == set()


async def test_a_tag_that_fails_is_told_of_once_nothing_of_it_may_import_any_more(
    aws: Sandbox, ecr: Client, developer: httpx.AsyncClient
) -> None:
    await rule(ecr, "docker-hub")
    async with sdk("iam", aws) as iam:
        await deny_us(iam, "ecr:DescribeRepositories")
    reading, looking = aws.hold("BatchGetImage"), aws.hold("DescribeRepositories")
    asking = asyncio.create_task(developer.put(f"/v1/images/{CACHED}:stable", json={"source": "1"}))
    assert await asyncio.to_thread(reading.reached, 10)
    assert await asyncio.to_thread(looking.reached, 10)
    looking.release()
    answered, _ = await asyncio.wait({asking}, timeout=0.3)
    reading.release()
    assert not answered
    assert (await asking).json()["code"] == "aws_permission_missing"


async def test_the_rules_are_asked_for_once_for_many(aws: Sandbox, ecr: Client, viewer: httpx.AsyncClient) -> None:
    await rule(ecr, "docker-hub")
    for _ in range(3):
        assert (await viewer.get(f"/v1/images/{OWN}:1")).json()["manifest_withheld"] is None
    asked = [call for call in aws.calls() if call.operation == "DescribePullThroughCacheRules"]
    assert len(asked) == 1


async def test_an_operation_may_import_and_a_preflight_or_a_dry_run_may_not(
    aws: Sandbox, ecr: Client, deployer: httpx.AsyncClient
) -> None:
    await rule(ecr, "docker-hub")
    what = {"namespace": "default", "image": f"{CACHED}:1"}
    asked = what | {"cluster": "demo", "name": "app"}
    preflight = await deployer.get("/v1/clusters/demo/preflight", params=what)
    assert imports(aws) == set()
    platforms = next(one for one in preflight.json()["checks"] if one["name"] == "platforms")
    assert platforms["verdict"] == "unknown"
    dry = await deployer.post("/v1/deployments", params={"dry_run": True}, json=asked)
    assert (dry.status_code, imports(aws)) == (200, set()), dry.text
    deployed = await deployer.post("/v1/deployments", json=asked)
    assert (deployed.status_code, imports(aws)) == (202, {"BatchGetImage", "GetDownloadUrlForLayer"}), deployed.text
    [read] = [call for call in aws.calls() if call.operation == "BatchGetImage" and "wharfinger" in call.user_agent]
    assert deployed.json()["id"] in read.user_agent
