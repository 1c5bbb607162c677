"""Repository policies over HTTP: what is put is what is found, and who it lets in decides who may put it."""

import json
from typing import Any

import httpx
import pytest
import pytest_asyncio

from sandbox.server import Sandbox
from service.registry.documents import DOCUMENT_KINDS
from tests.marks import only_sqlite

pytestmark = [pytest.mark.asyncio, only_sqlite]

PATH = "/v1/policies/repositories/team/app"
OWN, OTHER = "111111111111", "222222222222"


def policy(principal: object = None, **statement: object) -> dict[str, Any]:
    allowed = {"Effect": "Allow", "Principal": principal or {"AWS": OWN}, "Action": ["ecr:BatchGetImage"]}
    return {"Version": "2012-10-17", "Statement": [allowed | statement]}


@pytest_asyncio.fixture(autouse=True)
async def repository(developer: httpx.AsyncClient) -> None:
    assert (await developer.post("/v1/repositories", json={"name": "team/app"})).status_code == 201


def puts(aws: Sandbox) -> list[dict[str, Any]]:
    return [call.parameters for call in aws.calls() if call.operation == "SetRepositoryPolicy"]


async def audit(admin: httpx.AsyncClient, **filters: str) -> tuple[str, str]:
    """Action and status of the newest row of the audit trail."""
    row = (await admin.get("/v1/audit", params={"limit": 1, **filters})).json()["items"][0]
    return row["action"], row["status"]


async def test_a_policy_is_put_found_and_deleted(
    developer: httpx.AsyncClient, viewer: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    put = await developer.put(PATH, json=policy())
    assert put.status_code == 200
    assert put.json() == policy()
    assert await audit(admin) == ("policy.put", "succeeded")

    found = await viewer.get("/v1/policies/repositories/team%2Fapp")
    assert found.status_code == 200
    assert found.json() == policy()
    assert found.headers["ETag"] == put.headers["ETag"]

    assert (await developer.delete(PATH)).status_code == 204
    assert await audit(admin) == ("policy.delete", "succeeded")
    for answer in (await viewer.get(PATH), await developer.delete(PATH)):
        assert answer.status_code == 404
        assert answer.json()["code"] == "policy_not_found"


async def test_aws_is_sent_the_document_as_it_was_written(aws: Sandbox, developer: httpx.AsyncClient) -> None:
    text = json.dumps(policy(), indent=7)
    assert (await developer.put(PATH, content=text)).status_code == 200
    assert [call["policyText"] for call in puts(aws)] == [text]


BROKER = f"arn:aws:iam::{OWN}:role/wharfinger-broker"
NOT_THE_BROKER = {"ArnNotEquals": {"aws:PrincipalArn": BROKER}}


@pytest.mark.parametrize(
    "statement",
    [
        {"principal": {"AWS": OTHER}},
        {"principal": {"AWS": [OWN, OTHER]}},
        {"principal": {"Service": "ecs.amazonaws.com"}},
        {"principal": "*", "Condition": NOT_THE_BROKER},
    ],
)
async def test_letting_others_in_takes_an_admin(
    aws: Sandbox, developer: httpx.AsyncClient, admin: httpx.AsyncClient, statement: dict[str, Any]
) -> None:
    refused = await developer.put(PATH, json=policy(**statement))
    assert refused.status_code == 403
    assert await audit(admin) == ("policy.put_foreign", "refused")
    assert puts(aws) == []

    assert (await admin.put(PATH, json=policy(**statement))).status_code == 200
    assert await audit(admin) == ("policy.put_foreign", "succeeded")


async def test_a_deny_of_others_takes_no_admin(developer: httpx.AsyncClient) -> None:
    assert (await developer.put(PATH, json=policy("*", Effect="Deny"))).status_code == 200


async def test_who_may_only_read_can_neither_put_nor_delete(
    aws: Sandbox, viewer: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    before = len(aws.calls())
    assert (await viewer.put(PATH, json=policy())).status_code == 403
    assert await audit(admin) == ("policy.put", "refused")
    assert (await viewer.delete(PATH)).status_code == 403
    assert await audit(admin) == ("policy.delete", "refused")
    assert len(aws.calls()) == before


async def test_mistakes_are_named_with_their_places(aws: Sandbox, developer: httpx.AsyncClient) -> None:
    document = policy({"AWS": [OWN, "1234"]}, Action=["ecr:PushImage"], Resource="*")
    answer = await developer.put(PATH, json=document)
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_policy"
    assert {one["path"] for one in answer.json()["errors"]} == {
        "body.Statement[0].Principal.AWS[1]",
        "body.Statement[0].Action[0]",
        "body.Statement[0].Resource",
    }
    assert puts(aws) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"\\ud800": 1}', b"[" * 5000, b" " * 20000])
async def test_what_is_no_policy_at_all_is_refused(developer: httpx.AsyncClient, content: bytes) -> None:
    answer = await developer.put(PATH, content=content)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["path"].startswith("body")


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ({"principal": {"AWS": [OWN, f"arn:aws:sts::{OWN}:assumed-role/wharfinger-broker/somebody"]}}, "AWS[1]"),
        ({"principal": {"AWS": [BROKER.replace("broker", "Broker")]}}, "AWS[0]"),
        ({"principal": {"AWS": "*"}}, "AWS"),
        ({"principal": {"AWS": OWN}, "Condition": {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/w*"}}}, "AWS"),
        ({"principal": {"AWS": "*"}, "Condition": {"ArnEquals": {"aws:PrincipalArn": BROKER}}}, "AWS"),
    ],
)
async def test_the_role_that_credentials_are_narrowed_from_stays_out(
    aws: Sandbox, admin: httpx.AsyncClient, statement: dict[str, Any], place: str
) -> None:
    answer = await admin.put(PATH, json=policy(**statement))
    assert answer.status_code == 422
    assert answer.json()["code"] == "broker_role_in_policy"
    [mistake] = answer.json()["errors"]
    assert mistake["path"] == f"body.Statement[0].Principal.{place}"
    assert json.dumps(NOT_THE_BROKER) in mistake["reason"]
    assert puts(aws) == []


async def test_a_policy_needs_a_repository(developer: httpx.AsyncClient) -> None:
    for answer in (
        await developer.put("/v1/policies/repositories/team/none", json=policy()),
        await developer.get("/v1/policies/repositories/team/none"),
        await developer.delete("/v1/policies/repositories/team/none"),
    ):
        assert answer.status_code == 404
        assert answer.json()["code"] == "repository_not_found"


async def test_if_match_guards_against_what_was_not_seen(developer: httpx.AsyncClient) -> None:
    assert (await developer.put(PATH, json=policy(), headers={"If-Match": "*"})).status_code == 412
    etag = (await developer.put(PATH, json=policy())).headers["ETag"]

    changed = await developer.put(PATH, json=policy(Sid="changed"), headers={"If-Match": etag})
    late = await developer.put(PATH, json=policy(Sid="late"), headers={"If-Match": etag})
    late_delete = await developer.delete(PATH, headers={"If-Match": etag})

    assert [one.status_code for one in (changed, late, late_delete)] == [200, 412, 412]
    assert (await developer.get(PATH)).json() == policy(Sid="changed")
    assert (await developer.delete(PATH, headers={"If-Match": changed.headers["ETag"]})).status_code == 204


async def test_a_repeat_with_the_same_key_is_answered_from_the_record(
    aws: Sandbox, developer: httpx.AsyncClient
) -> None:
    headers = {"Idempotency-Key": "once"}
    first = await developer.put(PATH, json=policy(), headers=headers)
    again = await developer.put(PATH, json=policy(), headers=headers)
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(puts(aws)) == 1


async def test_a_template_can_be_put_as_it_comes(admin: httpx.AsyncClient) -> None:
    items = (await admin.get("/v1/policy-templates")).json()["items"]
    listed = [one for one in items if one["document"] == "policy"]
    assert [one["name"] for one in listed] == ["cross-account-pull", "cross-account-push"]
    assert [one["parameters"] for one in listed] == [["account"], ["account"]]

    for one in listed:
        answer = await admin.get(f"/v1/policy-templates/{one['name']}", params={"account": [OTHER, "333333333333"]})
        assert answer.status_code == 200
        assert answer.json()["Statement"][0]["Principal"] == {"AWS": [OTHER, "333333333333"]}
        assert (await admin.put(PATH, content=answer.content)).status_code == 200


@pytest.mark.parametrize("query", ["", "account=", "account=1", f"account={OTHER}&account=x", f"account={OTHER}&to=x"])
async def test_a_template_needs_account_ids(viewer: httpx.AsyncClient, query: str) -> None:
    assert (await viewer.get(f"/v1/policy-templates/cross-account-pull?{query}")).status_code == 400


async def test_templates_of_all_kinds_are_told_apart_by_name_and_mean_the_same_by_a_parameter() -> None:
    every = [one for kind in DOCUMENT_KINDS for one in kind.templates]
    assert len({one.name for one in every}) == len(every) > 0
    meanings: dict[str, Any] = {}
    for one in every:
        for name, schema in one.parameters.model_json_schema()["properties"].items():
            assert meanings.setdefault(name, schema) == schema, one.name


async def test_an_unknown_template_is_not_found(viewer: httpx.AsyncClient) -> None:
    answer = await viewer.get(f"/v1/policy-templates/everything?account={OTHER}")
    assert answer.status_code == 404
    assert answer.json()["code"] == "policy_template_not_found"


async def test_a_deletion_whose_answer_is_lost_is_not_sent_again(
    aws: Sandbox, developer: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await developer.put(PATH, json=policy())
    aws.fault("DeleteRepositoryPolicy", "reset", when="after")

    answer = await developer.delete(PATH)

    assert (answer.status_code, answer.json()["code"]) == (503, "outcome_unknown")
    assert [call.operation for call in aws.calls()].count("DeleteRepositoryPolicy") == 1
    assert await audit(admin, status="pending") == ("policy.delete", "pending")


async def test_a_put_whose_answer_is_lost_has_no_known_outcome(
    aws: Sandbox, developer: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    aws.fault("SetRepositoryPolicy", "reset", when="after")

    answer = await developer.put(PATH, json=policy())

    assert (answer.status_code, answer.json()["code"]) == (503, "outcome_unknown")
    assert await audit(admin, status="pending") == ("policy.put", "pending")
