"""Images and policies whose answer was lost: what AWS has, against what was asked for and what was there before."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from sandbox.server import Sandbox
from service.base.db import Database
from service.base.settings import Settings
from service.clients.aws.sessions import Aws
from service.models.audit import Status
from service.operations.calls import Settled
from service.operations.documents import Documents
from service.operations.ledger import Ledger
from service.operations.operations import Operations
from service.registry.images import Images
from service.registry.policies import REPOSITORY_POLICY
from service.registry.registries import Registries
from service.registry.repositories import Repositories
from tests.images import image, push_image
from tests.marks import only_sqlite

pytestmark = [pytest.mark.asyncio, only_sqlite]

OWN = "111111111111"
POLICY, REPOSITORY, TAG = (
    "/v1/policies/repositories/team/app",
    "/v1/repositories/team/app",
    "/v1/images/team/app:stable",
)

Settle = Callable[[str], Awaitable[Settled | None]]
Lose = Callable[..., Awaitable[str]]


@pytest_asyncio.fixture
async def settle(settings: Settings, database: Database) -> AsyncIterator[Settle]:
    """Looks once at what became of an operation, by its id."""
    aws = Aws(settings.registries, settings.deadlines)
    ledger = Ledger(database=database, remember=timedelta(days=1))
    known = Operations(ledger=ledger)
    registries = Registries(clients=await aws.open(), default="local")
    known.settles(Repositories(registries=registries, operations=known).settling)
    known.settles(Images(registries=registries, operations=known).settling)
    known.settles(Documents(REPOSITORY_POLICY, find=registries.find, operations=known).settling)

    async def look(operation_id: str) -> Settled | None:
        return await known.settle(await ledger.find(operation_id))

    yield look
    await aws.close()


@pytest.fixture
def lose(developer: httpx.AsyncClient, aws: Sandbox) -> Lose:
    """Sends a change whose answer is lost, and gives the operation's id; `acts`: AWS makes it all the same."""

    async def send(call: str, method: str, path: str, body: Any = None, *, acts: bool = False) -> str:  # noqa: ANN401 - JSON
        aws.fault(call, "reset", when="after" if acts else "before")
        answer = await developer.request(method, path, json=body)
        assert answer.json()["code"] == "outcome_unknown", answer.text
        [operation_id] = re.findall(r"operation (\S+);", answer.json()["detail"])
        return str(operation_id)

    return send


@pytest_asyncio.fixture(autouse=True)
async def repository(developer: httpx.AsyncClient) -> None:
    assert (await developer.post("/v1/repositories", json={"name": "team/app"})).status_code == 201


async def verdict(settle: Settle, operation_id: str) -> Status:
    settled = await settle(operation_id)
    assert settled
    return settled.status


async def make_again(developer: httpx.AsyncClient) -> None:
    """Somebody else removes the repository and makes another one of its name."""
    (await developer.delete(REPOSITORY, params={"force": "true"})).raise_for_status()
    (await developer.post("/v1/repositories", json={"name": "team/app"})).raise_for_status()


def policy(sid: str) -> dict[str, Any]:
    statement = {"Sid": sid, "Effect": "Allow", "Principal": {"AWS": OWN}, "Action": "ecr:BatchGetImage"}
    return {"Version": "2012-10-17", "Statement": [statement]}


async def test_a_policy_is_compared_by_what_it_says(settle: Settle, lose: Lose, developer: httpx.AsyncClient) -> None:
    lost = await lose("SetRepositoryPolicy", "PUT", POLICY, policy("A"))
    assert await verdict(settle, lost) is Status.FAILED

    reformatted = policy("A")
    [statement] = reformatted["Statement"]
    statement |= {"Principal": {"AWS": [f"arn:aws:iam::{OWN}:root"]}, "Action": ["ecr:BatchGetImage"]}
    await developer.put(POLICY, json=reformatted)
    found = await settle(lost)
    assert found
    assert (found.status, found.result) == (Status.SUCCEEDED, policy("A"))

    await developer.put(POLICY, json=policy("B"))
    found = await settle(lost)
    assert found
    assert (found.status, found.found) == (Status.UNKNOWN, policy("B"))


async def test_a_policy_of_a_repository_that_was_made_again_is_nobodys_to_tell(
    settle: Settle, lose: Lose, developer: httpx.AsyncClient
) -> None:
    lost = await lose("SetRepositoryPolicy", "PUT", POLICY, policy("A"), acts=True)
    (await developer.delete(REPOSITORY)).raise_for_status()
    assert await verdict(settle, lost) is Status.UNKNOWN
    (await developer.post("/v1/repositories", json={"name": "team/app"})).raise_for_status()
    assert await verdict(settle, lost) is Status.UNKNOWN


async def test_a_deleted_policy_is_absent(settle: Settle, lose: Lose, developer: httpx.AsyncClient) -> None:
    await developer.put(POLICY, json=policy("A"))
    lost = await lose("DeleteRepositoryPolicy", "DELETE", POLICY)
    assert await verdict(settle, lost) is Status.FAILED
    await developer.put(POLICY, json=policy("B"))
    assert await verdict(settle, lost) is Status.UNKNOWN
    (await developer.delete(POLICY)).raise_for_status()
    assert await verdict(settle, lost) is Status.SUCCEEDED
    (await developer.delete(REPOSITORY)).raise_for_status()
    assert await verdict(settle, lost) is Status.SUCCEEDED


async def test_a_tag_succeeded_if_it_stands_for_its_source(
    settle: Settle, lose: Lose, aws: Sandbox, developer: httpx.AsyncClient
) -> None:
    digest = await push_image(aws, "team/app", "1", image("one"))
    await push_image(aws, "team/app", "2", image("two"))
    await push_image(aws, "team/app", "3", image("three"))
    await developer.put(TAG, json={"source": "2"})

    lost = await lose("PutImage", "PUT", TAG, {"source": "1"})
    assert await verdict(settle, lost) is Status.FAILED
    await developer.put(TAG, json={"source": "1"})
    # What the source stands for now is another matter.
    await developer.put("/v1/images/team/app:1", json={"source": "3"})
    found = await settle(lost)
    assert found
    assert found.status is Status.SUCCEEDED
    assert found.result == {"registry": "local", "repository": "team/app", "tag": "stable", "digest": digest}
    await developer.put(TAG, json={"source": "3"})
    assert await verdict(settle, lost) is Status.UNKNOWN
    (await developer.delete(TAG)).raise_for_status()
    assert await verdict(settle, lost) is Status.UNKNOWN


@pytest.mark.parametrize("by", ["tag", "digest"])
async def test_a_deleted_image_is_absent(
    settle: Settle, lose: Lose, aws: Sandbox, developer: httpx.AsyncClient, by: str
) -> None:
    digest = await push_image(aws, "team/app", "stable", image("one"))
    path = TAG if by == "tag" else f"/v1/images/team/app@{digest}"
    lost = await lose("BatchDeleteImage", "DELETE", path)
    assert await verdict(settle, lost) is Status.FAILED
    (await developer.delete(path)).raise_for_status()
    assert await verdict(settle, lost) is Status.SUCCEEDED
    await push_image(aws, "team/app", "stable", image("one"))
    assert await verdict(settle, lost) is Status.UNKNOWN


async def test_a_deleted_repository_that_is_younger_than_its_deletion_is_nobodys_to_tell(
    settle: Settle, lose: Lose, developer: httpx.AsyncClient
) -> None:
    lost = await lose("DeleteRepository", "DELETE", REPOSITORY)
    assert await verdict(settle, lost) is Status.FAILED
    await make_again(developer)
    found = await settle(lost)
    assert found
    assert (found.status, found.found and found.found["name"]) == (Status.UNKNOWN, "team/app")
    (await developer.delete(REPOSITORY)).raise_for_status()
    assert await verdict(settle, lost) is Status.SUCCEEDED


async def test_of_a_change_in_steps_each_field_is_told_of_once(
    settle: Settle, lose: Lose, developer: httpx.AsyncClient
) -> None:
    change = {"tag_mutability": "IMMUTABLE", "scan_on_push": True, "tags": {"team": "wharf", "old": None}}
    (await developer.patch(REPOSITORY, json={"scan_on_push": False, "tags": {"old": "1"}})).raise_for_status()
    lost = await lose("PutImageScanningConfiguration", "PATCH", REPOSITORY, change)

    found = await settle(lost)
    assert found
    assert (found.status, found.result) == (
        Status.PARTIAL,
        {"applied": ["tag_mutability"], "not_applied": ["scan_on_push", "tags.team", "tags.old"], "unknown": []},
    )
    (await developer.patch(REPOSITORY, json={"tags": {"team": "another"}})).raise_for_status()
    found = await settle(lost)
    assert found
    assert (found.status, found.result) == (
        Status.UNKNOWN,
        {"applied": ["tag_mutability"], "not_applied": ["scan_on_push", "tags.old"], "unknown": ["tags.team"]},
    )
    (await developer.patch(REPOSITORY, json=change)).raise_for_status()
    assert await verdict(settle, lost) is Status.SUCCEEDED
    await make_again(developer)
    assert await verdict(settle, lost) is Status.UNKNOWN


async def test_while_aws_is_away_nothing_is_settled(settle: Settle, lose: Lose, aws: Sandbox) -> None:
    lost = await lose("DeleteRepositoryPolicy", "DELETE", POLICY)
    aws.fault("GetRepositoryPolicy", "error", times=2)
    assert await settle(lost) is None
