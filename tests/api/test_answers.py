"""Answers as HTTP has them: HEAD, validators, weights in `Accept`, links, and no content type without content."""

import subprocess
import sys

import httpx
import pytest
from fastapi import Request

from api.http.answers import Http
from api.http.deps import CONTAINER
from api.http.negotiation import preferred
from sandbox.server import Sandbox
from service.base.errors import DatabaseError, LongWork
from service.base.version import VERSION
from tests.api.routes import Route, routes
from tests.images import publish
from tests.marks import only_sqlite

READ = [route for route in routes() if route.method == "GET"]
JSON, PLAIN = "application/json", "text/plain"


@only_sqlite
@pytest.mark.asyncio
@pytest.mark.parametrize("route", READ, ids=str)
async def test_head_is_answered_wherever_get_is(bare_admin: httpx.AsyncClient, route: Route) -> None:
    got, head = await bare_admin.get(route.url), await bare_admin.head(route.url)
    assert (head.status_code, head.headers["Content-Type"]) == (got.status_code, got.headers["Content-Type"])
    assert head.content == b""


@only_sqlite
@pytest.mark.asyncio
async def test_head_of_an_event_stream_ends(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    await publish(aws, "team/app", "1")
    asked = {"cluster": "demo", "name": "app", "image": "team/app:1", "port": 8080}
    made = await admin.post("/v1/deployments", json=asked | {"env": {"SANDBOX_READY_AFTER": "never"}})
    head = await admin.head(f"{made.headers['Location']}/events")
    assert head.status_code == 200
    assert head.headers["Content-Type"].startswith("text/event-stream")


@only_sqlite
@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_a_probe_may_ask_with_parameters_of_its_own(bare_client: httpx.AsyncClient, path: str) -> None:
    assert (await bare_client.get(path, params={"x": "1"})).status_code == 200


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("text/plain", PLAIN),
        ("TEXT/plain; charset=utf-8", PLAIN),
        ("application/json, text/plain, */*", JSON),
        ("text/plain, */*", PLAIN),
        ("text/*", PLAIN),
        ("text/plain;q=0.5, application/json", JSON),
        ("application/json;q=0.5, text/plain;q=0.8", PLAIN),
        ("text/plain;q=0, */*", JSON),
        ("text/plain;q=0", JSON),
        ("text/plain;q=nonsense, application/json;q=0.1", JSON),
        ("image/png", JSON),
    ],
)
def test_what_is_weighed_most_is_answered(accept: str, wanted: str) -> None:
    assert preferred(accept, (JSON, PLAIN)) == wanted


@only_sqlite
@pytest.mark.asyncio
async def test_the_weights_of_accept_decide(admin: httpx.AsyncClient) -> None:
    made = (await admin.post("/v1/repositories", json={"name": "team/app"})).json()
    url = "/v1/repositories/team/app"
    assert (await admin.get(url, headers={"Accept": "application/json;q=0.5, text/plain"})).text == made["uri"] + "\n"
    assert (await admin.get(url, headers={"Accept": "text/plain;q=0.5, application/json"})).json() == made
    assert (await admin.get(url)).headers["Vary"] == "Accept"


@only_sqlite
@pytest.mark.asyncio
async def test_what_the_caller_has_already_is_not_sent_again(admin: httpx.AsyncClient) -> None:
    await admin.post("/v1/repositories", json={"name": "team/app"})
    url = "/v1/repositories/team/app"
    etag = (await admin.get(url)).headers["ETag"]
    for known in (etag, f'W/{etag}, "other"', "*"):
        answer = await admin.get(url, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag)
        assert "Content-Type" not in answer.headers
    assert (await admin.get(url, headers={"If-None-Match": '"other"'})).status_code == 200
    await admin.patch(url, json={"scan_on_push": False})
    assert (await admin.get(url, headers={"If-None-Match": etag})).json()["scan_on_push"] is False


@only_sqlite
@pytest.mark.asyncio
async def test_an_answer_without_content_has_no_type(admin: httpx.AsyncClient) -> None:
    await admin.post("/v1/repositories", json={"name": "team/app"})
    answer = await admin.delete("/v1/repositories/team/app")
    assert (answer.status_code, answer.content) == (204, b"")
    assert "Content-Type" not in answer.headers


@only_sqlite
@pytest.mark.asyncio
async def test_the_link_to_the_next_page_names_no_host(admin: httpx.AsyncClient) -> None:
    for name in ("team/a", "team/b"):
        await admin.post("/v1/repositories", json={"name": name})
    page = await admin.get(
        "/v1/repositories", params={"limit": 1, "prefix": "team/"}, headers={"Host": "evil.example.com"}
    )
    following = page.links["next"]["url"]
    assert following.startswith("/v1/repositories?limit=1&prefix=")
    assert [one["name"] for one in (await admin.get(following)).json()["items"]] == ["team/b"]


@only_sqlite
@pytest.mark.asyncio
async def test_a_rollback_needs_no_body(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    await publish(aws, "team/app", "1", "2")
    asked = {"cluster": "demo", "name": "app", "port": 8080}
    first = await admin.post("/v1/deployments", params={"wait": 20}, json=asked | {"image": "team/app:1"})
    second = await admin.post("/v1/deployments", params={"wait": 20}, json=asked | {"image": "team/app:2"})
    back = await admin.post(f"/v1/deployments/{second.json()['id']}/rollback", params={"wait": 20})
    assert (back.status_code, back.json()["digest"]) == (200, first.json()["digest"])


def test_the_command_line_says_its_version() -> None:
    command = [sys.executable, "-m", "api.cli", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"wharfinger {VERSION}\n"  # noqa: S603


@pytest.mark.asyncio
@pytest.mark.parametrize(("headers", "is_keyed"), [([], False), ([(b"idempotency-key", b"once")], True)])
async def test_a_change_that_can_not_be_shown_is_not_said_to_be_undone(
    headers: list[tuple[bytes, bytes]], *, is_keyed: bool
) -> None:
    async def away() -> None:
        raise DatabaseError("The database did not answer, so nothing was done.", retry_after=5)

    http, work = Http(Request({"type": "http", "headers": headers, "state": {CONTAINER: None}})), LongWork("job", "1")
    with pytest.raises(DatabaseError, match="It was done") as caught:
        await http.read_back(away(), work)
    assert (caught.value.retryable, caught.value.work) == (is_keyed, work)
