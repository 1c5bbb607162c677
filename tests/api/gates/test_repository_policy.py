"""The gate `repository_policy`: what the policy of the repository makes of the nodes."""

from typing import Any

import httpx
import pytest

from sandbox.places import OTHER_ACCOUNT
from sandbox.server import Sandbox
from tests.api.gates.preflights import NODE_ROLE, PULL, Sdk, document, look
from tests.conftest import ACCOUNT
from tests.marks import only_sqlite
from tests.sandbox.clients import deny_us, sdk

pytestmark = [pytest.mark.asyncio, only_sqlite]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ({"Effect": "Deny", "Principal": "*", "Action": "ecr:BatchGetImage"}, "failed"),
        ({"Effect": "Deny", "Principal": "*", "Action": "ecr:PutImage"}, "ok"),
        (
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "ecr:*",
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
            "unknown",
        ),
    ],
)
async def test_in_its_own_account_a_repository_can_deny(
    viewer: httpx.AsyncClient, pushed: Sandbox, statement: dict[str, Any], expected: str
) -> None:
    async with sdk("ecr", pushed) as ecr:
        await ecr.set_repository_policy(repositoryName="myapp", policyText=document(statement))
    assert (await look(viewer))["repository_policy"]["verdict"] == expected


async def test_a_foreign_repository_has_to_let_the_nodes_account_in(abroad: httpx.AsyncClient) -> None:
    found = await look(abroad, "theirs:1", registry="other")
    assert found["repository_policy"]["verdict"] == "failed"
    advice = found["repository_policy"]["advice"]
    assert f"GET /v1/policy-templates/cross-account-pull?account={ACCOUNT}" in advice
    assert "PUT /v1/policies/repositories/theirs?registry=other" in advice
    assert found["region"]["verdict"] == found["node_roles"]["verdict"] == "ok"


@pytest.mark.parametrize(
    ("principal", "action", "expected"),
    [
        ({"AWS": ACCOUNT}, PULL, "ok"),
        ("*", "ecr:*", "ok"),
        ({"AWS": NODE_ROLE}, PULL, "ok"),
        ({"AWS": ACCOUNT}, PULL[:2], "failed"),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:role/wharfinger"}, PULL, "failed"),
    ],
)
async def test_a_foreign_repositorys_policy_is_read(
    abroad: httpx.AsyncClient, pushed: Sandbox, principal: object, action: object, expected: str
) -> None:
    text = document({"Principal": principal, "Action": action})
    async with sdk("ecr", pushed, account=OTHER_ACCOUNT) as ecr:
        await ecr.set_repository_policy(repositoryName="theirs", policyText=text)
    assert (await look(abroad, "theirs:1", registry="other"))["repository_policy"]["verdict"] == expected


async def test_the_template_that_is_advised_is_what_it_takes(abroad: httpx.AsyncClient, pushed: Sandbox) -> None:
    template = await abroad.get("/v1/policy-templates/cross-account-pull", params={"account": ACCOUNT})
    async with sdk("ecr", pushed, account=OTHER_ACCOUNT) as ecr:
        await ecr.set_repository_policy(repositoryName="theirs", policyText=template.text)
    assert (await look(abroad, "theirs:1", registry="other"))["repository_policy"]["verdict"] == "ok"


async def test_a_policy_that_may_not_be_read_is_unknown(viewer: httpx.AsyncClient, iam: Sdk) -> None:
    await deny_us(iam, "ecr:GetRepositoryPolicy")
    found = (await look(viewer))["repository_policy"]
    assert found["verdict"] == "unknown"
    assert "ecr:GetRepositoryPolicy" in found["detail"]
