"""`?dry_run=true` on a policy: what would change, of whoever may change it, and nothing is changed or recorded."""

from typing import Any

import httpx
import pytest
import pytest_asyncio

from sandbox.server import Sandbox
from tests.marks import only_sqlite

pytestmark = [pytest.mark.asyncio, only_sqlite]

PATH = "/v1/policies/repositories/team/app"
DRY = {"dry_run": "true"}
OWN, OTHER = "111111111111", "222222222222"


def policy(account: str = OWN, action: str | list[str] = "ecr:BatchGetImage") -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": action}
    return {"Version": "2012-10-17", "Statement": [statement]}


@pytest_asyncio.fixture(autouse=True)
async def repository(developer: httpx.AsyncClient) -> None:
    assert (await developer.post("/v1/repositories", json={"name": "team/app"})).status_code == 201


async def test_a_put_says_what_it_would_change(developer: httpx.AsyncClient) -> None:
    answer = await developer.put(PATH, json=policy(), params=DRY)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/vnd.wharfinger.dry-run+json")
    assert answer.json() == {"change": "created", "before": None, "after": policy()}

    await developer.put(PATH, json=policy())
    # It says the same, in the other way that the grammar has for it.
    same = await developer.put(PATH, json=policy(f"arn:aws:iam::{OWN}:root", ["ecr:BatchGetImage"]), params=DRY)
    other = await developer.put(PATH, json=policy(action="ecr:PutImage"), params=DRY)
    assert (same.json()["change"], other.json()["change"]) == ("none", "replaced")
    assert (other.json()["before"], other.json()["after"]) == (policy(), policy(action="ecr:PutImage"))


async def test_a_deletion_says_what_would_be_gone(developer: httpx.AsyncClient) -> None:
    none = await developer.delete(PATH, params=DRY)
    assert (none.status_code, none.json()["code"]) == (404, "policy_not_found")
    await developer.put(PATH, json=policy())
    answer = await developer.delete(PATH, params=DRY)
    assert (answer.status_code, answer.json()) == (200, {"change": "deleted", "before": policy(), "after": None})


async def test_nothing_is_changed_and_nothing_recorded(
    aws: Sandbox, developer: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await developer.put(PATH, json=policy())
    rows = (await admin.get("/v1/audit")).json()["items"]
    before = len(aws.calls())
    for answer in (
        await developer.put(PATH, json=policy(action="ecr:PutImage"), params=DRY),
        await developer.delete(PATH, params=DRY),
    ):
        assert answer.status_code == 200
        assert "Operation-Id" not in answer.headers
    assert {call.operation for call in aws.calls()[before:]} == {"GetRepositoryPolicy", "DescribeRepositories"}
    assert (await admin.get("/v1/audit")).json()["items"] == rows
    assert (await developer.get(PATH)).json() == policy()


async def test_it_asks_what_the_change_would_ask(
    developer: httpx.AsyncClient, viewer: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await developer.put(PATH, json=policy())
    assert (await viewer.put(PATH, json=policy(), params=DRY)).status_code == 403
    assert (await viewer.delete(PATH, params=DRY)).status_code == 403
    assert (await developer.put(PATH, json=policy(OTHER), params=DRY)).status_code == 403
    assert (await admin.put(PATH, json=policy(OTHER), params=DRY)).json()["change"] == "replaced"


async def test_it_is_refused_as_the_change_would_be(developer: httpx.AsyncClient) -> None:
    await developer.put(PATH, json=policy())
    none, stale = "/v1/policies/repositories/team/none", {"If-Match": '"gone"'}
    broken = await developer.put(PATH, json=policy(action="ecr:Push"), params=DRY)
    assert (broken.status_code, broken.json()["code"]) == (422, "invalid_policy")
    for method, body in (("PUT", policy()), ("DELETE", None)):
        absent = await developer.request(method, none, json=body, params=DRY)
        assert (absent.status_code, absent.json()["code"]) == (404, "repository_not_found")
        changed = await developer.request(method, PATH, json=body, params=DRY, headers=stale)
        assert (changed.status_code, changed.json()["code"]) == (412, "precondition_failed")
