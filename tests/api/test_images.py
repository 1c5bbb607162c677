"""Images over HTTP: pushed as a client pushes them, then listed, inspected, tagged and deleted."""

import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio
from starlette.types import ASGIApp

from sandbox.server import Sandbox
from sandbox.story.image_writer import Image, Index, build_index
from service.access.actions import Role
from tests.conftest import ACCOUNT, REGION, Connect, MakeKey
from tests.images import image, push_image
from tests.marks import only_sqlite

pytestmark = [pytest.mark.asyncio, only_sqlite]

Push = Callable[..., Awaitable[str]]
ABSENT = "sha256:" + "0" * 64


@pytest_asyncio.fixture
async def pushed(aws: Sandbox, developer: httpx.AsyncClient) -> Push:
    """Creates a repository if need be and pushes an image to it; gives the digest."""

    async def run(tag: str, target: Image | Index, repository: str = "team/app", **settings: str) -> str:
        await developer.post("/v1/repositories", json={"name": repository, **settings})
        return await push_image(aws, repository, tag, target)

    return run


def operations(aws: Sandbox) -> list[str]:
    """What wharfinger asked of ECR."""
    return [call.operation for call in aws.calls() if call.service == "ecr" and "wharfinger" in call.user_agent]


async def tags_of(client: httpx.AsyncClient, repository: str = "team/app") -> dict[str, str]:
    answer = await client.get("/v1/images", params={"repository": repository})
    return {tag: one["digest"] for one in answer.json()["items"] for tag in one["tags"]}


async def audit(admin: httpx.AsyncClient) -> dict[str, Any]:
    """The newest row of the audit trail."""
    newest: dict[str, Any] = (await admin.get("/v1/audit", params={"limit": 1})).json()["items"][0]
    return newest


async def test_images_are_listed_with_their_tags_and_sizes(pushed: Push, viewer: httpx.AsyncClient) -> None:
    first, second = await pushed("1", image("one")), await pushed("2", image("two" * 99))
    await pushed("latest", image("two" * 99))

    answer = await viewer.get("/v1/images", params={"repository": "team/app"})

    assert answer.status_code == 200
    items = {one["digest"]: one for one in answer.json()["items"]}
    assert items[first]["tags"] == ["1"]
    assert items[second]["tags"] == ["2", "latest"]
    assert items[first]["size_bytes"] > 0
    assert items[first]["media_type"] == "application/vnd.oci.image.manifest.v1+json"
    assert items[first]["pushed_at"]
    assert answer.json()["next_cursor"] is None


async def test_a_list_is_read_page_by_page(pushed: Push, viewer: httpx.AsyncClient) -> None:
    digests = {await pushed(str(number), image(f"number {number}")) for number in range(3)}

    first = await viewer.get("/v1/images", params={"repository": "team/app", "limit": 2})
    second = await viewer.get(first.links["next"]["url"])

    assert [len(page.json()["items"]) for page in (first, second)] == [2, 1]
    assert {one["digest"] for page in (first, second) for one in page.json()["items"]} == digests
    assert "next" not in second.links


@pytest.mark.parametrize("position", ["x", {}, {"token": 5}, {"token": None}, {"token": "x"}, {"token": "\ud800"}])
async def test_a_cursor_of_another_make_is_refused(pushed: Push, viewer: httpx.AsyncClient, position: object) -> None:
    await pushed("1", image("one"))
    cursor = base64.urlsafe_b64encode(json.dumps(position).encode()).decode()
    answer = await viewer.get("/v1/images", params={"repository": "team/app", "cursor": cursor})
    assert answer.status_code == 400
    assert [one["path"] for one in answer.json()["errors"]] == ["query.cursor"]


async def test_an_image_is_found_by_tag_and_by_digest(pushed: Push, aws: Sandbox, viewer: httpx.AsyncClient) -> None:
    target = image("one")
    digest = await pushed("1", target)

    by_tag = await viewer.get("/v1/images/team/app:1")
    by_digest = await viewer.get(f"/v1/images/team%2Fapp%40{digest.replace(':', '%3A')}")

    assert by_tag.status_code == by_digest.status_code == 200
    found = by_tag.json()
    assert found["digest"] == by_digest.json()["digest"] == digest
    assert by_tag.headers["ETag"] == f'"{digest}"'
    assert found["uri"] == f"{aws.host(ACCOUNT, REGION)}/team/app@{digest}"
    assert found["platforms"] is None
    [layer] = found["layers"]
    assert layer["digest"] == target.layers[0].blob.digest
    assert layer["size_bytes"] == len(target.layers[0].blob.content)


async def test_a_shell_gets_the_reference_by_digest(pushed: Push, aws: Sandbox, viewer: httpx.AsyncClient) -> None:
    digest = await pushed("1", image("one"))
    answer = await viewer.get("/v1/images/team/app:1", headers={"Accept": "text/plain"})
    assert answer.text == f"{aws.host(ACCOUNT, REGION)}/team/app@{digest}\n"


async def test_an_index_has_platforms(pushed: Push, viewer: httpx.AsyncClient) -> None:
    await pushed("1", build_index([image("one"), image("one", "arm64")]))
    found = (await viewer.get("/v1/images/team/app:1")).json()
    assert found["platforms"] == ["linux/amd64", "linux/arm64"]
    assert found["layers"] == []


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        ("team/app:2", "image_not_found"),
        (f"team/app@{ABSENT}", "image_not_found"),
        ("team/other:1", "repository_not_found"),
    ],
)
async def test_what_is_not_there_is_not_found(
    pushed: Push, developer: httpx.AsyncClient, reference: str, code: str
) -> None:
    await pushed("1", image("one"))
    for answer in (
        await developer.get(f"/v1/images/{reference}"),
        await developer.delete(f"/v1/images/{reference}"),
    ):
        assert answer.status_code == 404
        assert answer.json()["code"] == code


@pytest.mark.parametrize(
    "reference",
    ["app", "app:", "app@1", "app@sha256:12", "App:1", "a:1", "team//app:1", "app:-1", "app:1%0A", "app:1@1"],
)
async def test_a_bad_reference_is_refused_before_aws_is_asked(
    aws: Sandbox, developer: httpx.AsyncClient, reference: str
) -> None:
    for answer in (
        await developer.get(f"/v1/images/{reference}"),
        await developer.put(f"/v1/images/{reference}", json={"source": "1"}),
        await developer.delete(f"/v1/images/{reference}"),
    ):
        assert answer.status_code == 400
        assert [one["path"] for one in answer.json()["errors"]] == ["path.reference"]
    assert operations(aws) == []


@pytest.mark.parametrize(
    "params", [{}, {"repository": ""}, {"repository": "App"}, {"repository": "team/app", "tag": "1"}]
)
async def test_a_bad_list_parameter_is_refused(viewer: httpx.AsyncClient, params: dict[str, str]) -> None:
    assert (await viewer.get("/v1/images", params=params)).status_code == 400


@pytest.mark.parametrize("by", ["tag", "digest", "reference"])
async def test_a_tag_is_moved_to_an_image_of_the_same_repository(
    pushed: Push, developer: httpx.AsyncClient, by: str
) -> None:
    digest = await pushed("1", image("one"))
    await pushed("stable", image("two"))
    source = {"tag": "1", "digest": digest, "reference": f"team/app@{digest}"}[by]

    answer = await developer.put("/v1/images/team/app:stable", json={"source": source})

    assert answer.status_code == 200
    assert answer.json() == {"registry": "local", "repository": "team/app", "tag": "stable", "digest": digest}
    assert answer.headers["ETag"] == f'"{digest}"'
    assert (await tags_of(developer))["stable"] == digest


async def test_a_tag_that_stands_for_the_image_already_is_a_success(
    pushed: Push, developer: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    digest = await pushed("1", image("one"), tag_mutability="IMMUTABLE")
    answer = await developer.put("/v1/images/team/app:1", json={"source": digest})
    assert answer.status_code == 200
    assert answer.json()["digest"] == digest
    row = await audit(admin)
    assert (row["action"], row["status"]) == ("image.tag", "succeeded")


async def test_an_immutable_tag_stays(pushed: Push, developer: httpx.AsyncClient) -> None:
    await pushed("1", image("one"), tag_mutability="IMMUTABLE")
    second = await pushed("2", image("two"))

    refused = await developer.put("/v1/images/team/app:1", json={"source": second})
    added = await developer.put("/v1/images/team/app:3", json={"source": second})

    assert refused.status_code == 409
    assert refused.json()["code"] == "image_tag_immutable"
    assert added.status_code == 200


async def test_an_image_of_another_repository_needs_its_layers_there(
    pushed: Push, developer: httpx.AsyncClient
) -> None:
    digest = await pushed("1", image("one"))
    await pushed("old", image("one"), repository="team/released")
    await pushed("1", image("two"), repository="team/other")

    promoted = await developer.put("/v1/images/team/released:1", json={"source": "team/app:1"})
    refused = await developer.put("/v1/images/team/other:2", json={"source": f"team/app@{digest}"})

    assert promoted.status_code == 200
    assert promoted.json()["digest"] == digest
    assert refused.status_code == 409
    assert refused.json()["code"] == "layers_missing"


async def test_a_tag_is_moved_only_from_where_it_was_seen(pushed: Push, developer: httpx.AsyncClient) -> None:
    first = await pushed("1", image("one"))
    second = await pushed("stable", image("two"))
    headers = {"If-Match": f'"{second}"'}

    moved = await developer.put("/v1/images/team/app:stable", json={"source": first}, headers=headers)
    late = await developer.put("/v1/images/team/app:stable", json={"source": second}, headers=headers)

    assert moved.status_code == 200
    assert late.status_code == 412
    assert (await tags_of(developer))["stable"] == first


@pytest.mark.parametrize("body", [{}, {"source": ""}, {"source": "a b"}, {"source": 1}, {"source": "1", "force": True}])
async def test_a_bad_body_is_refused(developer: httpx.AsyncClient, body: dict[str, object]) -> None:
    answer = await developer.put("/v1/images/team/app:1", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["path"].startswith("body.")


async def test_a_digest_cannot_be_tagged_over(developer: httpx.AsyncClient) -> None:
    answer = await developer.put(f"/v1/images/team/app@{ABSENT}", json={"source": "1"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["path"] == "path.reference"


async def test_a_missing_source_is_not_found(pushed: Push, developer: httpx.AsyncClient) -> None:
    await pushed("1", image("one"))
    answer = await developer.put("/v1/images/team/app:2", json={"source": "3"})
    assert answer.status_code == 404
    assert answer.json()["code"] == "image_not_found"


async def test_by_tag_the_tag_goes_and_with_the_last_one_the_image(pushed: Push, developer: httpx.AsyncClient) -> None:
    digest = await pushed("1", image("one"))
    await pushed("2", image("one"))

    assert (await developer.delete("/v1/images/team/app:1")).status_code == 204
    assert await tags_of(developer) == {"2": digest}
    assert (await developer.delete("/v1/images/team/app:2")).status_code == 204
    assert (await developer.get(f"/v1/images/team/app@{digest}")).status_code == 404


async def test_by_digest_the_image_goes_with_all_its_tags(pushed: Push, developer: httpx.AsyncClient) -> None:
    digest = await pushed("1", image("one"))
    await pushed("2", image("one"))
    assert (await developer.delete(f"/v1/images/team/app@{digest}")).status_code == 204
    assert await tags_of(developer) == {}


async def test_an_image_of_an_index_stays(pushed: Push, developer: httpx.AsyncClient) -> None:
    child = image("one")
    await pushed("1", build_index([child]))
    answer = await developer.delete(f"/v1/images/team/app@{child.manifest.digest}")
    assert answer.status_code == 409
    assert answer.json()["code"] == "image_referenced"


async def test_a_repeat_with_the_same_key_is_answered_from_the_record(
    pushed: Push, aws: Sandbox, developer: httpx.AsyncClient
) -> None:
    await pushed("1", image("one"))
    headers = {"Idempotency-Key": "promote"}

    first = await developer.put("/v1/images/team/app:2", json={"source": "1"}, headers=headers)
    again = await developer.put("/v1/images/team/app:2", json={"source": "1"}, headers=headers)

    assert first.json() == again.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert operations(aws).count("PutImage") == 1


async def test_who_may_only_read_can_neither_tag_nor_delete(
    pushed: Push, aws: Sandbox, viewer: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await pushed("1", image("one"))
    before = operations(aws)

    assert (await viewer.put("/v1/images/team/app:2", json={"source": "1"})).status_code == 403
    assert (await viewer.delete("/v1/images/team/app:1")).status_code == 403

    assert operations(aws) == before
    row = await audit(admin)
    assert (row["action"], row["status"]) == ("image.delete", "refused")


async def test_another_teams_image_is_no_source_and_not_even_known(
    pushed: Push, aws: Sandbox, app: ASGIApp, connect: Connect, make_key: MakeKey
) -> None:
    await pushed("1", image("one"), repository="team/app")
    await pushed("1", image("one"), repository="secret/app")
    before = operations(aws)
    teammate = connect(app, await make_key(Role.DEVELOPER, repository="team"))

    answers = [
        await teammate.put("/v1/images/team/app:2", json={"source": "secret/app:1"}),
        await teammate.get("/v1/images/secret/app:1"),
        await teammate.get("/v1/images", params={"repository": "secret/app"}),
        await teammate.delete("/v1/images/secret/app:1"),
    ]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "repository_not_found")] * 4
    assert operations(aws) == before


async def test_an_index_without_its_images_is_not_put(developer: httpx.AsyncClient, aws: Sandbox) -> None:
    for name in ("team/app", "team/other"):
        await developer.post("/v1/repositories", json={"name": name})
    await push_image(aws, "team/app", "1", build_index([image("one"), image("one", "arm64")]))

    answer = await developer.put("/v1/images/team/other:1", json={"source": "team/app:1"})

    assert (answer.status_code, answer.json()["code"]) == (409, "images_missing")


@pytest.mark.parametrize("call", ["BatchDeleteImage", "PutImage"])
async def test_a_change_whose_answer_is_lost_is_not_sent_again(
    pushed: Push, aws: Sandbox, developer: httpx.AsyncClient, admin: httpx.AsyncClient, call: str
) -> None:
    await pushed("1", image("one"))
    aws.fault(call, "reset", when="after")

    answer = await (
        developer.put("/v1/images/team/app:2", json={"source": "1"})
        if call == "PutImage"
        else developer.delete("/v1/images/team/app:1")
    )

    assert (answer.status_code, answer.json()["code"]) == (503, "outcome_unknown")
    # Between two attempts somebody else may push: the second would undo that.
    assert operations(aws).count(call) == 1
    [row] = (await admin.get("/v1/audit", params={"status": "pending"})).json()["items"]
    assert row["target"] == "local/team/app"


async def test_a_throttled_deletion_is_refused_and_may_be_repeated(
    pushed: Push, aws: Sandbox, developer: httpx.AsyncClient
) -> None:
    await pushed("1", image("one"))
    aws.fault("BatchDeleteImage", "throttle", times=2)

    refused = await developer.delete("/v1/images/team/app:1", headers={"Idempotency-Key": "once"})
    repeated = await developer.delete("/v1/images/team/app:1", headers={"Idempotency-Key": "once"})

    assert (refused.status_code, refused.json()["code"]) == (503, "aws_throttled")
    assert "Retry-After" in refused.headers
    assert repeated.status_code == 204
