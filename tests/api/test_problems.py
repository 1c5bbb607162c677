"""Errors as callers see them: problem details that say what to mend, and nothing of what is inside."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from asgi_lifespan import LifespanManager

from api.app import create
from api.http.problems import MEDIA_TYPE
from service.base.settings import Settings
from tests.conftest import Connect
from tests.marks import only_sqlite

pytestmark = [pytest.mark.asyncio, only_sqlite]

MOST = 1_048_576


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The answer's problem, checked for what each must have."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == MEDIA_TYPE
    found: dict[str, Any] = answer.json()
    assert (found["status"], found["code"], found["type"]) == (status, code, f"urn:wharfinger:problem:{code}")
    assert found["request_id"] == answer.headers["X-Request-Id"]
    assert found["title"]
    assert found["detail"]
    return found


async def test_without_a_key_the_way_to_send_one_is_told(bare_client: httpx.AsyncClient) -> None:
    answer = await bare_client.get("/v1/repositories")
    assert "whf_" in problem(answer, 401, "unauthenticated")["detail"]
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="wharfinger"'


@pytest.mark.parametrize("given", ["Bearer", "Bearer nonsense", "Basic dXNlcjpwYXNz", "Bearer whf_" + "x" * 43])
async def test_what_is_no_key_is_not_told_apart(bare_client: httpx.AsyncClient, given: str) -> None:
    answer = await bare_client.get("/v1/repositories", headers={"Authorization": given})
    problem(answer, 401, "unauthenticated")


@pytest.mark.parametrize(
    "broken",
    [{"content": b"{"}, {"json": {"name": 1}}, {"params": {"nobody": "1"}}, {"params": {"registry": "no"}}],
    ids=["no-json", "body", "parameter", "registry"],
)
async def test_who_has_no_key_learns_nothing_of_body_and_parameters(
    bare_client: httpx.AsyncClient, broken: dict[str, Any]
) -> None:
    problem(await bare_client.post("/v1/repositories", **broken), 401, "unauthenticated")


async def test_no_such_path(bare_client: httpx.AsyncClient) -> None:
    told = problem(await bare_client.get("/v1/no-such-thing"), 404, "no_such_path")
    assert "/openapi.yaml" in told["detail"]


async def test_a_path_that_ends_in_a_slash_is_another_path(bare_admin: httpx.AsyncClient) -> None:
    answer = await bare_admin.delete("/v1/repositories/")
    assert answer.status_code in {404, 405}
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/repositories", "GET, HEAD, POST"),
        ("/v1/repositories/team/app", "DELETE, GET, HEAD, PATCH"),
        ("/v1/tokens", "POST"),
    ],
)
async def test_a_method_that_a_path_lacks_is_answered_with_all_it_has(
    bare_client: httpx.AsyncClient, path: str, allowed: str
) -> None:
    answer = await bare_client.put(path)
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == allowed


async def test_an_unknown_parameter_is_named_with_the_known_ones(bare_admin: httpx.AsyncClient) -> None:
    answer = await bare_admin.get("/v1/repositories", params={"limt": "5"})
    [mistake] = problem(answer, 400, "invalid_parameter")["errors"]
    assert mistake == {"path": "query.limt", "reason": "known are: cursor, limit, prefix, registry"}


@pytest.mark.parametrize(("limit", "path"), [("0", "query.limit"), ("1001", "query.limit"), ("many", "query.limit")])
async def test_a_wrong_parameter_is_named(bare_admin: httpx.AsyncClient, limit: str, path: str) -> None:
    answer = await bare_admin.get("/v1/repositories", params={"limit": limit})
    assert [one["path"] for one in problem(answer, 400, "invalid_parameter")["errors"]] == [path]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"name": "team/app", "tag_mutabilty": "MUTABLE"}, "body.tag_mutabilty"),
        ({"name": "Team/App"}, "body.name"),
        ({"name": "a"}, "body.name"),
        ({}, "body.name"),
        ({"name": "team/app", "tags": {"aws:own": "1"}}, "body.tags.aws:own.[key]"),
    ],
)
async def test_a_wrong_field_is_named(bare_admin: httpx.AsyncClient, body: dict[str, Any], path: str) -> None:
    answer = await bare_admin.post("/v1/repositories", json=body)
    assert [one["path"] for one in problem(answer, 422, "invalid_body")["errors"]] == [path]


@pytest.mark.parametrize("body", [b'{"name": ', b"", b"[]", b'"text"', b"\xff\xfe"])
async def test_what_is_no_json_object_is_a_wrong_body(bare_admin: httpx.AsyncClient, body: bytes) -> None:
    answer = await bare_admin.post("/v1/repositories", content=body, headers={"Content-Type": "application/json"})
    assert problem(answer, 422, "invalid_body")["errors"]


async def test_an_idempotency_key_that_no_header_should_carry_is_named(bare_admin: httpx.AsyncClient) -> None:
    answer = await bare_admin.post(
        "/v1/repositories", json={"name": "team/app"}, headers={"Idempotency-Key": "with space"}
    )
    [mistake] = problem(answer, 400, "invalid_parameter")["errors"]
    assert mistake["path"].lower() == "header.idempotency-key"


async def test_a_body_over_the_limit_is_refused_by_its_announced_length(bare_admin: httpx.AsyncClient) -> None:
    answer = await bare_admin.post("/v1/repositories", content=b" " * (MOST + 1))
    assert str(MOST) in problem(answer, 413, "body_too_large")["detail"]


async def test_a_body_over_the_limit_is_refused_where_no_length_was_announced(bare_admin: httpx.AsyncClient) -> None:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b" " * 65_536

    headers = {"Content-Type": "application/json"}
    problem(await bare_admin.post("/v1/repositories", content=stream(), headers=headers), 413, "body_too_large")


@pytest.mark.parametrize("given", ["req-1", "a.b_c:d/e+f=", "x" * 128])
async def test_a_request_id_is_taken_over(bare_client: httpx.AsyncClient, given: str) -> None:
    answer = await bare_client.get("/v1/repositories", headers={"X-Request-Id": given})
    assert problem(answer, 401, "unauthenticated")["request_id"] == given


@pytest.mark.parametrize("given", ["", "two words", "x" * 129, "<script>"])
async def test_a_request_id_that_would_not_be_safe_is_replaced(bare_client: httpx.AsyncClient, given: str) -> None:
    answer = await bare_client.get("/healthz", headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] not in {"", given}


async def test_a_registry_that_is_not_set_is_not_found(bare_admin: httpx.AsyncClient) -> None:
    problem(await bare_admin.get("/v1/repositories", params={"registry": "nowhere"}), 404, "registry_not_found")


async def test_a_defect_is_answered_without_a_word_of_the_inside(bare_settings: Settings, connect: Connect) -> None:
    app = create(bare_settings)

    @app.get("/defect")
    async def _defect() -> None:
        raise RuntimeError("the inside")

    async with LifespanManager(app) as manager:
        answer = await connect(manager.app).get("/defect", headers={"X-Request-Id": "req-1"})
    assert problem(answer, 500, "internal_error")["request_id"] == "req-1"
    assert "inside" not in answer.text
    assert "Traceback" not in answer.text
