"""Repositories: create, find, change, delete, over the real app and the stand-in for AWS."""

from typing import Any, Literal

import httpx
import pytest
from pydantic import SecretStr
from starlette.types import ASGIApp

from sandbox.server import Sandbox
from service.access.actions import Role
from service.access.identity import new_secret
from service.base.db import Database
from service.base.paging import encode
from service.base.settings import Settings
from tests.conftest import ACCOUNT, REGION, Connect, MakeKey, Serve
from tests.marks import only_sqlite
from tests.sandbox.clients import sdk

pytestmark = pytest.mark.asyncio

_MANY = 230


def operations(aws: Sandbox) -> list[str]:
    return [call.operation for call in aws.calls()]


async def test_a_repository_is_created_found_changed_and_deleted(admin: httpx.AsyncClient) -> None:
    asked = {"name": "team/app", "tags": {"team": "wharf"}}
    created = await admin.post("/v1/repositories", json=asked)
    assert (created.status_code, created.headers["Location"]) == (201, "/v1/repositories/team/app")
    repository = created.json()
    assert (repository["tag_mutability"], repository["scan_on_push"], repository["tags"]) == (
        "MUTABLE",
        True,
        {"team": "wharf"},
    )

    found = await admin.get("/v1/repositories/team%2Fapp")
    assert (found.json(), found.headers["ETag"]) == (repository, created.headers["ETag"])

    change = {"tag_mutability": "IMMUTABLE", "scan_on_push": False, "tags": {"team": None, "stage": "prod"}}
    changed = await admin.patch("/v1/repositories/team/app", json=change)
    assert changed.status_code == 200
    assert changed.json() == repository | {
        "tag_mutability": "IMMUTABLE",
        "scan_on_push": False,
        "tags": {"stage": "prod"},
    }

    assert (await admin.delete("/v1/repositories/team/app")).status_code == 204
    gone = await admin.get("/v1/repositories/team/app")
    assert (gone.status_code, gone.json()["code"]) == (404, "repository_not_found")


@only_sqlite
@pytest.mark.parametrize(
    ("mode", "exclusions"),
    [
        ("MUTABLE", []),
        ("IMMUTABLE", []),
        ("MUTABLE_WITH_EXCLUSION", ["v*"]),
        ("IMMUTABLE_WITH_EXCLUSION", ["dev-*", "latest"]),
    ],
)
async def test_each_mode_of_mutability(admin: httpx.AsyncClient, mode: str, exclusions: list[str]) -> None:
    asked = {"name": "app", "tag_mutability": mode, "mutability_exclusions": exclusions}
    created = (await admin.post("/v1/repositories", json=asked)).json()
    assert (created["tag_mutability"], created["mutability_exclusions"]) == (mode, exclusions)


@only_sqlite
async def test_encryption_with_a_key(admin: httpx.AsyncClient) -> None:
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0f"
    asked = {"name": "app", "encryption": {"type": "KMS", "kms_key": key}}
    created = (await admin.post("/v1/repositories", json=asked)).json()
    assert created["encryption"] == {"type": "KMS", "kms_key": key}


@only_sqlite
async def test_a_shell_gets_the_uri_alone(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    await admin.post("/v1/repositories", json={"name": "team/app"})
    answer = await admin.get("/v1/repositories/team/app", headers={"Accept": "text/plain"})
    assert answer.text == f"{aws.host(ACCOUNT, REGION)}/team/app\n"


@only_sqlite
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body.name"),
        ({"name": ""}, "body.name"),
        ({"name": "A"}, "body.name"),
        ({"name": "team//app"}, "body.name"),
        ({"name": "team/app\n"}, "body.name"),
        ({"name": "a" * 257}, "body.name"),
        ({"name": "app", "colour": "red"}, "body.colour"),
        ({"name": "app", "tag_mutability": "SOMETIMES"}, "body.tag_mutability"),
        ({"name": "app", "scan_on_push": "perhaps"}, "body.scan_on_push"),
        ({"name": "app", "tags": {"": "x"}}, "body.tags"),
        ({"name": "app", "mutability_exclusions": ["a b"]}, "body.mutability_exclusions.0"),
        ({"name": "app", "encryption": {"type": "ROT13"}}, "body.encryption.type"),
    ],
)
async def test_a_bad_body_is_refused_with_the_place(
    admin: httpx.AsyncClient, aws: Sandbox, body: dict[str, Any], field: str
) -> None:
    refused = await admin.post("/v1/repositories", json=body)
    assert refused.status_code == 422
    assert any(mistake["path"].startswith(field) for mistake in refused.json()["errors"]), refused.text
    assert operations(aws) == []


@only_sqlite
@pytest.mark.parametrize("name", ["", "UPPER", "a", "team//app", "team/", "app%0A"])
async def test_a_bad_name_in_the_path_deletes_nothing(admin: httpx.AsyncClient, aws: Sandbox, name: str) -> None:
    refused = await admin.delete(f"/v1/repositories/{name}")
    assert refused.status_code in {400, 404, 405}
    assert operations(aws) == []


@only_sqlite
async def test_one_that_exists_is_a_conflict(admin: httpx.AsyncClient) -> None:
    await admin.post("/v1/repositories", json={"name": "app"})
    again = await admin.post("/v1/repositories", json={"name": "app"})
    assert (again.status_code, again.json()["code"]) == (409, "repository_exists")


@only_sqlite
async def test_pages_meet_without_a_gap_or_a_repeat(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    names = [f"team/app-{number:03}" for number in range(_MANY)] + ["zebra/app"]
    await _create_past_wharfinger(aws, names)
    for prefix, expected in (("", names), ("team/", names[:-1]), ("team/app-1", names[100:200])):
        seen: list[str] = []
        query: dict[str, Any] = {"prefix": prefix, "limit": 100}
        while True:
            page = await admin.get("/v1/repositories", params=query)
            body = page.json()
            seen += [one["name"] for one in body["items"]]
            assert len(body["items"]) <= 100
            assert ('rel="next"' in page.headers.get("Link", "")) == (body["next_cursor"] is not None)
            if body["next_cursor"] is None:
                break
            query["cursor"] = body["next_cursor"]
        assert seen == expected


@only_sqlite
@pytest.mark.parametrize(
    "cursor",
    [
        "nonsense",
        encode({"token": None, "skip": "a"}),
        encode({"token": 5, "skip": 0}),
        encode({"token": None, "skip": -1}),
        encode({"token": "not of ECR", "skip": 0}),
        encode({"after": "something else"}),
    ],
)
async def test_a_cursor_of_another_make_is_refused(admin: httpx.AsyncClient, cursor: str) -> None:
    refused = await admin.get("/v1/repositories", params={"cursor": cursor})
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (400, "query.cursor")


@only_sqlite
async def test_a_team_sees_and_changes_only_its_own(
    admin: httpx.AsyncClient, app: ASGIApp, connect: Connect, make_key: MakeKey
) -> None:
    for name in ("team/app", "team-b/app"):
        await admin.post("/v1/repositories", json={"name": name})
    team = connect(app, await make_key(Role.DEVELOPER, repository="team"))
    viewer = connect(app, await make_key(Role.VIEWER, repository="team"))

    listed = (await team.get("/v1/repositories")).json()["items"]
    assert [one["name"] for one in listed] == ["team/app"]
    assert (await team.delete("/v1/repositories/team-b/app")).status_code == 404
    assert (await viewer.delete("/v1/repositories/team/app")).status_code == 403
    assert (await team.delete("/v1/repositories/team/app")).status_code == 204


@only_sqlite
async def test_a_change_of_something_that_has_changed_is_refused(admin: httpx.AsyncClient) -> None:
    created = await admin.post("/v1/repositories", json={"name": "app"})
    etag = {"If-Match": created.headers["ETag"]}
    first = await admin.patch("/v1/repositories/app", json={"scan_on_push": False}, headers=etag)
    second = await admin.patch("/v1/repositories/app", json={"scan_on_push": True}, headers=etag)
    deleted = await admin.delete("/v1/repositories/app", headers=etag)
    assert (first.status_code, second.status_code, deleted.status_code) == (200, 412, 412)
    either = {"If-Match": f'"other", {first.headers["ETag"]}'}
    assert (await admin.delete("/v1/repositories/app", headers=either)).status_code == 204


@only_sqlite
async def test_the_answer_to_a_change_is_what_is_there_then(admin: httpx.AsyncClient) -> None:
    await admin.post("/v1/repositories", json={"name": "app", "tags": {"a": "1", "b": "2"}})
    change = {
        "tag_mutability": "IMMUTABLE_WITH_EXCLUSION",
        "mutability_exclusions": ["dev*"],
        "tags": {"a": None, "c": "3"},
    }
    changed = await admin.patch("/v1/repositories/app", json=change)
    found = await admin.get("/v1/repositories/app")
    assert (changed.json(), changed.headers["ETag"]) == (found.json(), found.headers["ETag"])
    back = await admin.patch("/v1/repositories/app", json={"tag_mutability": "MUTABLE"})
    assert back.json() == (await admin.get("/v1/repositories/app")).json()
    assert back.json()["mutability_exclusions"] == []


@only_sqlite
async def test_nothing_is_asked_between_a_change_and_its_record(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    await admin.post("/v1/repositories", json={"name": "app"})
    before = len(aws.calls())
    await admin.patch("/v1/repositories/app", json={"scan_on_push": False})
    assert operations(aws)[before:][-1] == "PutImageScanningConfiguration"


@only_sqlite
async def test_without_the_read_before_nothing_is_changed(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    await admin.post("/v1/repositories", json={"name": "app"})
    aws.fault("DescribeRepositories", "throttle", times=9)
    answer = await admin.patch("/v1/repositories/app", json={"scan_on_push": False})
    assert (answer.status_code, answer.json()["code"]) == (503, "aws_throttled")
    assert "PutImageScanningConfiguration" not in operations(aws)


@only_sqlite
async def test_an_empty_registry_is_none(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/v1/repositories", params={"registry": ""}, json={"name": "app"})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, "query.registry")


@only_sqlite
async def test_half_a_change_says_which_half(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    await admin.post("/v1/repositories", json={"name": "app"})
    aws.fault("PutImageScanningConfiguration", "throttle", times=9)
    change = {"tag_mutability": "IMMUTABLE", "scan_on_push": False}
    answer = await admin.patch("/v1/repositories/app", json=change)
    assert (answer.status_code, answer.json()["code"]) == (502, "partially_applied")
    [row] = (await admin.get("/v1/audit?action=repository.update")).json()["items"]
    assert (row["status"], row["result"]) == ("partial", {"applied": ["tag_mutability"]})


@only_sqlite
async def test_a_repeat_of_half_a_change_sends_the_other_half_alone(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    await admin.post("/v1/repositories", json={"name": "app"})
    aws.fault("PutImageScanningConfiguration", "throttle", times=2)
    change, key = {"tag_mutability": "IMMUTABLE", "scan_on_push": False}, {"Idempotency-Key": "build-1"}
    half = await admin.patch("/v1/repositories/app", json=change, headers=key)
    # Somebody else changes what was applied: the repeat must leave that alone.
    (await admin.patch("/v1/repositories/app", json={"tag_mutability": "MUTABLE"})).raise_for_status()
    rest = await admin.patch("/v1/repositories/app", json=change, headers=key)
    again = await admin.patch("/v1/repositories/app", json=change, headers=key)
    assert (half.status_code, rest.status_code, again.status_code) == (502, 200, 200)
    assert "Idempotency-Replayed" not in rest.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert operations(aws).count("PutImageTagMutability") == 2
    now = (await admin.get("/v1/repositories/app")).json()
    assert (now["tag_mutability"], now["scan_on_push"]) == ("MUTABLE", False)


@only_sqlite
async def test_one_with_images_is_deleted_by_force_only(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    from tests.images import image, push_image  # noqa: PLC0415 - moto takes a second to import

    await admin.post("/v1/repositories", json={"name": "app"})
    await push_image(aws, "app", "1", image("one"))
    refused = await admin.delete("/v1/repositories/app")
    assert (refused.status_code, refused.json()["code"]) == (409, "repository_not_empty")
    assert (await admin.delete("/v1/repositories/app?force=true")).status_code == 204


@only_sqlite
async def test_a_repeat_is_answered_from_the_record(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    key = {"Idempotency-Key": "build-1"}
    first = await admin.post("/v1/repositories", json={"name": "app"}, headers=key)
    again = await admin.post("/v1/repositories", json={"name": "app"}, headers=key)
    other = await admin.post("/v1/repositories", json={"name": "other"}, headers=key)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert operations(aws).count("CreateRepository") == 1


@only_sqlite
async def test_a_permission_that_our_role_lacks_is_named(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    async with sdk("iam", aws) as client:
        await client.delete_role_policy(RoleName="wharfinger", PolicyName="seeded")
    answer = await admin.post("/v1/repositories", json={"name": "app"})
    assert (answer.status_code, answer.json()["code"]) == (502, "aws_permission_missing")
    assert "ecr:CreateRepository" in answer.json()["detail"]
    assert answer.json()["aws"]["code"] == "AccessDeniedException"


@only_sqlite
@pytest.mark.parametrize("fault", ["throttle", "error"])
async def test_a_read_that_aws_can_not_answer_is_503(
    admin: httpx.AsyncClient, aws: Sandbox, fault: Literal["throttle", "error"]
) -> None:
    await admin.post("/v1/repositories", json={"name": "app"})
    aws.fault("DescribeRepositories", fault, times=9)
    answer = await admin.get("/v1/repositories/app")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


async def test_without_a_database_nothing_is_asked_of_aws(
    settings: Settings, serve: Serve, connect: Connect, aws: Sandbox, away: Database
) -> None:
    url = SecretStr(away.engine.url.render_as_string(hide_password=False))
    gone = settings.database.model_copy(update={"url": url})
    async with serve(settings.model_copy(update={"database": gone})) as app:
        answer = await connect(app, new_secret()).post("/v1/repositories", json={"name": "app"})
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert operations(aws) == []


async def _create_past_wharfinger(aws: Sandbox, names: list[str]) -> None:
    async with sdk("ecr", aws) as client:
        for name in names:
            await client.create_repository(repositoryName=name)
