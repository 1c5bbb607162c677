"""Images and policies whose answer was lost: AWS is looked at, and what is found is the outcome."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from sandbox.server import Sandbox
from service.authz import Action
from service.clients.aws import Aws
from service.clients.ecr import Ecr
from service.clients.ecr_images import EcrImages
from service.clients.ecr_policies import EcrPolicies
from service.db import Database
from service.images import Images
from service.ledger import Ledger, Open, Settled, Status
from service.operations import Operations
from service.policies import Policies
from service.policy_documents import hash_of
from service.references import References
from service.registries import Registries
from service.settings import Settings
from tests.images import image, push_image
from tests.marks import only_sqlite

pytestmark = [pytest.mark.asyncio, only_sqlite]

OWN = "111111111111"
ABSENT = "sha256:" + "0" * 64


@pytest_asyncio.fixture
async def operations(settings: Settings, database: Database) -> AsyncIterator[Operations]:
    """Those that know how images and policies are settled."""
    aws = Aws(settings.registries, settings.deadlines)
    clients = await aws.open()
    known = Operations(ledger=Ledger(database=database, remember=timedelta(days=1)))
    registries = Registries(clients={name: Ecr(one) for name, one in clients.items()}, default="local")
    images = {name: EcrImages(one) for name, one in clients.items()}
    policies = {name: EcrPolicies(one) for name, one in clients.items()}
    Images(
        registries=registries,
        clients=images,
        references=References(registries=registries, images=images),
        operations=known,
    )
    Policies(registries=registries, clients=policies, operations=known)
    yield known
    await aws.close()


@pytest_asyncio.fixture(autouse=True)
async def repository(developer: httpx.AsyncClient) -> None:
    assert (await developer.post("/v1/repositories", json={"name": "team/app"})).status_code == 201


async def settle(operations: Operations, action: Action, **request: object) -> Settled:
    settled = await operations.settle(Open("an-id", action, "local", dict(request)))
    assert settled is not None
    return settled


def policy(sid: str) -> dict[str, Any]:
    statement = {"Sid": sid, "Effect": "Allow", "Principal": {"AWS": OWN}, "Action": "ecr:BatchGetImage"}
    return {"Version": "2012-10-17", "Statement": [statement]}


async def put(operations: Operations, document: dict[str, Any], name: str = "team/app") -> Settled:
    return await settle(operations, Action.POLICY_PUT, name=name, document=document, sha256=hash_of(document))


async def test_a_policy_is_compared_by_what_it_says(operations: Operations, developer: httpx.AsyncClient) -> None:
    assert (await put(operations, policy("A"))).status is Status.FAILED

    await developer.put("/v1/policies/repositories/team/app", json=policy("A"))
    reformatted = policy("A")
    [statement] = reformatted["Statement"]
    statement |= {"Principal": {"AWS": [f"arn:aws:iam::{OWN}:root"]}, "Action": ["ecr:BatchGetImage"]}

    found = await put(operations, reformatted)
    assert (found.status, found.result) == (Status.SUCCEEDED, policy("A"))
    assert (await put(operations, policy("B"))).status is Status.FAILED
    assert (await put(operations, policy("A"), name="team/gone")).status is Status.FAILED


async def test_a_deleted_policy_is_absent(operations: Operations, developer: httpx.AsyncClient) -> None:
    assert (await settle(operations, Action.POLICY_DELETE, name="team/app")).status is Status.SUCCEEDED
    assert (await settle(operations, Action.POLICY_DELETE, name="team/gone")).status is Status.SUCCEEDED
    await developer.put("/v1/policies/repositories/team/app", json=policy("A"))
    assert (await settle(operations, Action.POLICY_DELETE, name="team/app")).status is Status.FAILED


async def test_a_tag_succeeded_if_it_stands_for_its_source(operations: Operations, aws: Sandbox) -> None:
    digest = await push_image(aws, "team/app", "1", image("one"))
    await push_image(aws, "team/app", "stable", image("one"))
    await push_image(aws, "team/app", "2", image("two"))

    async def tagged(tag: str, source: str) -> Settled:
        return await settle(operations, Action.IMAGE_TAG, reference=f"team/app:{tag}", source=source)

    for source in ("team/app:1", f"team/app@{digest}"):
        found = await tagged("stable", source)
        assert found.status is Status.SUCCEEDED
        assert found.result == {"registry": "local", "repository": "team/app", "tag": "stable", "digest": digest}
    assert (await tagged("stable", "team/app:2")).status is Status.FAILED
    assert (await tagged("stable", f"team/app@{ABSENT}")).status is Status.FAILED
    assert (await tagged("stable", "team/app:gone")).status is Status.FAILED
    assert (await tagged("3", "team/app:1")).status is Status.FAILED


async def test_a_deleted_image_is_absent(operations: Operations, aws: Sandbox) -> None:
    digest = await push_image(aws, "team/app", "1", image("one"))

    async def deleted(reference: str) -> Status:
        return (await settle(operations, Action.IMAGE_DELETE, reference=reference)).status

    assert await deleted("team/app:1") is Status.FAILED
    assert await deleted(f"team/app@{digest}") is Status.FAILED
    assert await deleted("team/app:2") is Status.SUCCEEDED
    assert await deleted("team/gone:1") is Status.SUCCEEDED


async def test_while_aws_is_away_nothing_is_settled(operations: Operations, aws: Sandbox) -> None:
    aws.fault("GetRepositoryPolicy", "error", times=2)
    open_one = Open("an-id", Action.POLICY_DELETE, "local", {"name": "team/app"})
    assert await operations.settle(open_one) is None
