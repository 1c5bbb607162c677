"""`/v1/keys`: made, shown once, listed; who may, and what a key reaches."""

import logging
from collections.abc import Awaitable, Callable

import httpx
import pytest
from sqlalchemy import select
from sqlmodel import SQLModel
from starlette.types import ASGIApp
from structlog.testing import capture_logs

from service.access.actions import Role
from service.access.authz import Binding
from service.access.identity import hash_secret
from service.base.db import Database
from tests.api.key_requests import ADMIN, ASKED, make, shown_as_used, status_of
from tests.conftest import Connect
from tests.keys import store
from tests.marks import only_sqlite

pytestmark = pytest.mark.asyncio

NOBODY = "01a20000-0000-7000-8000-000000000000"
PLAIN = {"Accept": "text/plain"}
Dump = Callable[[], Awaitable[str]]


@pytest.fixture
def dump(database: Database) -> Dump:
    """All that the database holds, as text."""

    async def read() -> str:
        async with database.read() as connection:
            tables = [(await connection.execute(select(table))).all() for table in SQLModel.metadata.sorted_tables]
        return repr(tables)

    return read


async def test_a_key_is_made_and_works(bare_app: ASGIApp, bare_admin: httpx.AsyncClient, connect: Connect) -> None:
    answer = await bare_admin.post("/v1/keys", json=ASKED)

    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    made = answer.json()
    assert answer.headers["Location"] == f"/v1/keys/{made['id']}"
    assert made["label"] == "ci of team"
    assert made["bindings"] == [
        {"role": "developer", "repository": "team", "registry": "*", "cluster": None, "namespace": None}
    ]
    assert made["warnings"] == []
    assert made["expires_at"] is None
    assert await status_of(bare_app, connect, made["secret"]) == 200
    kept = {name: value for name, value in made.items() if name != "secret"}
    shown = await shown_as_used(bare_admin, answer.headers["Location"])
    assert shown | {"last_used_at": None} == kept


async def test_a_shell_gets_the_bare_key(bare_app: ASGIApp, bare_admin: httpx.AsyncClient, connect: Connect) -> None:
    made = await bare_admin.post("/v1/keys", json=ASKED, headers=PLAIN)
    rotated = await bare_admin.post(made.headers["Location"] + "/rotations", headers=PLAIN)

    assert (made.status_code, rotated.status_code) == (201, 201)
    assert made.headers["Cache-Control"] == rotated.headers["Cache-Control"] == "no-store"
    assert made.headers["Content-Type"].startswith("text/plain")
    assert made.text != rotated.text
    assert await status_of(bare_app, connect, made.text.removesuffix("\n")) == 200
    assert await status_of(bare_app, connect, rotated.text.removesuffix("\n")) == 200


@only_sqlite
@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"bindings": []}, "body.bindings"),
        ({"bindings": [{"role": "root"}]}, "body.bindings.0.role"),
        ({"bindings": [{"role": "viewer", "repository": "team*"}]}, "body.bindings.0.repository"),
        ({"bindings": [{"role": "viewer", "repo": "team"}]}, "body.bindings.0.repo"),
        ({"bindings": [{"role": "viewer", "repository": "team", "registry": None}]}, "body.bindings.0"),
        ({"bindings": [{"role": "viewer", "cluster": None, "namespace": None}]}, "body.bindings.0"),
        ({"bindings": [{"role": "viewer"}, {"role": "viewer", "registry": "x"}]}, "body.bindings.1.registry"),
        ({"bindings": [{"role": "deployer", "cluster": "x", "namespace": "y"}]}, "body.bindings.0.cluster"),
        ({"label": ""}, "body.label"),
        ({"label": " "}, "body.label"),
        ({"label": "two\nlines"}, "body.label"),
        ({"label": "x" * 129}, "body.label"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "body.expires_at"),
        ({"expires_at": "2120-01-01T00:00:00"}, "body.expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-01:00"}, "body.expires_at"),
        ({"secret": "whf_mine"}, "body.secret"),
    ],
)
async def test_a_mistake_is_named(bare_admin: httpx.AsyncClient, change: dict[str, object], path: str) -> None:
    answer = await bare_admin.post("/v1/keys", json=ASKED | change)

    assert answer.status_code == 422
    assert [mistake["path"] for mistake in answer.json()["errors"]] == [path]


async def test_the_list_has_all_keys_the_newest_first_page_by_page(bare_admin: httpx.AsyncClient, own_id: str) -> None:
    made = [(await make(bare_admin, label=f"key {number}"))["id"] for number in range(4)]

    first = await bare_admin.get("/v1/keys", params={"limit": 3})
    assert first.headers["Link"] == f'<{first.url.raw_path.decode()}&cursor={first.json()["next_cursor"]}>; rel="next"'
    second = await bare_admin.get(first.links["next"]["url"])

    assert [key["id"] for key in first.json()["items"]] == made[:0:-1]
    assert [key["id"] for key in second.json()["items"]] == [made[0], own_id]
    assert second.json()["next_cursor"] is None
    assert "secret" not in first.text + second.text


@only_sqlite
@pytest.mark.parametrize("cursor", ["x", "eyJhZnRlciI6MX0", "eyJhZnRlciI6Ilx1MDAwMCJ9", "W10"])
async def test_a_cursor_that_was_never_given_is_refused(bare_admin: httpx.AsyncClient, cursor: str) -> None:
    for path in ("/v1/keys", "/v1/audit"):
        answer = await bare_admin.get(path, params={"cursor": cursor})
        assert answer.status_code == 400
        assert [mistake["path"] for mistake in answer.json()["errors"]] == ["query.cursor"]


@pytest.mark.parametrize("path", ["/v1/keys", "/v1/keys/{id}/rotations"])
async def test_a_secret_is_not_replayed(bare_admin: httpx.AsyncClient, own_id: str, path: str) -> None:
    url, body = path.format(id=own_id), ASKED if path == "/v1/keys" else {}
    first = await bare_admin.post(url, json=body, headers={"Idempotency-Key": "once"})
    assert first.status_code == 201

    repeat = await bare_admin.post(url, json=body, headers={"Idempotency-Key": "once"})

    assert (repeat.status_code, repeat.json()["code"]) == (409, "secret_not_replayable")
    assert first.headers["Operation-Id"] in repeat.json()["detail"]
    assert first.json()["secret"] not in repeat.text


@only_sqlite
async def test_a_key_that_is_not_there_is_not_found(bare_admin: httpx.AsyncClient) -> None:
    answers = [
        await bare_admin.get(f"/v1/keys/{NOBODY}"),
        await bare_admin.delete(f"/v1/keys/{NOBODY}"),
        await bare_admin.post(f"/v1/keys/{NOBODY}/rotations"),
    ]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "key_not_found")] * 3
    assert (await bare_admin.get("/v1/keys/not-an-id")).status_code == 400


@only_sqlite
@pytest.mark.parametrize(
    "binding",
    [
        {"role": "viewer"},
        {"role": "developer"},
        {"role": "deployer"},
        {"role": "auditor"},
        {"role": "admin", "repository": "team"},
        {"role": "admin", "namespace": "team"},
        {"role": "admin", "registry": "*", "repository": "*"},
    ],
)
async def test_only_an_admin_of_everything_has_to_do_with_keys(
    bare_app: ASGIApp, bare_admin: httpx.AsyncClient, own_id: str, connect: Connect, binding: dict[str, str]
) -> None:
    other = connect(bare_app, (await make(bare_admin, bindings=[binding]))["secret"])

    answers = [
        await other.post("/v1/keys", json=ADMIN | {"bindings": [{"role": "viewer", "registry": "is-it-there"}]}),
        await other.get("/v1/keys"),
        await other.get(f"/v1/keys/{own_id}"),
        await other.post(f"/v1/keys/{own_id}/rotations"),
        await other.delete(f"/v1/keys/{own_id}"),
    ]

    assert [answer.status_code for answer in answers] == [403] * 5
    entries = (await bare_admin.get("/v1/audit", params={"status": "refused"})).json()["items"]
    assert [entry["action"] for entry in entries] == ["key.revoke", "key.rotate", "key.create"]


async def test_what_a_listed_key_says_can_be_asked_for_again(bare_admin: httpx.AsyncClient) -> None:
    for binding in (
        {"role": "viewer"},
        {"role": "viewer", "repository": "team"},
        {"role": "deployer", "namespace": "a"},
    ):
        made = await make(bare_admin, bindings=[binding])
        assert (await make(bare_admin, bindings=made["bindings"]))["bindings"] == made["bindings"]


async def test_an_admin_of_a_namespace_has_nothing_of_any_registry(
    admin: httpx.AsyncClient, app: ASGIApp, connect: Connect
) -> None:
    await admin.post("/v1/repositories", json={"name": "team/app"})
    body = {"label": "admin of a namespace", "bindings": [{"role": "admin", "cluster": "demo", "namespace": "team"}]}
    holder = connect(app, (await admin.post("/v1/keys", json=body)).json()["secret"])

    token = await holder.post("/v1/tokens", json={"scope": "registry", "actions": ["push"]})
    deleted = await holder.delete("/v1/repositories/team/app")

    assert (token.status_code, deleted.status_code) == (404, 404)
    assert (await holder.get("/v1/repositories")).json()["code"] == "registry_not_found"
    assert (await holder.get("/v1/registries")).json()["items"] == []
    assert [one["name"] for one in (await holder.get("/v1/clusters")).json()["items"]] == ["demo"]


async def test_a_key_of_before_can_what_it_could_and_says_so(
    admin: httpx.AsyncClient, app: ASGIApp, connect: Connect, database: Database
) -> None:
    wide = Binding(role=Role.ADMIN, registry="*", repository="*", cluster="demo", namespace="team")
    old = connect(app, await store(database, "of before", [wide], is_written_out=False))

    assert (await old.post("/v1/repositories", json={"name": "team/app"})).status_code == 201

    warnings = {key["label"]: key["warnings"] for key in (await admin.get("/v1/keys")).json()["items"]}
    [warning] = warnings.pop("of before")
    assert "bindings[0] reaches all registries" in warning
    assert warnings == {"the admin": []}


async def test_no_secret_is_in_the_database_or_the_logs(
    bare_admin: httpx.AsyncClient, dump: Dump, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), capture_logs() as events:
        made = await make(bare_admin)
        rotations = f"/v1/keys/{made['id']}/rotations"
        rotated = (await bare_admin.post(rotations, headers={"Idempotency-Key": "x"})).json()
    secrets = [made["secret"], rotated["secret"], bare_admin.headers["Authorization"].removeprefix("Bearer ")]

    held, logged = await dump(), caplog.text + repr(events)

    assert hash_secret(made["secret"]) in held
    assert rotations in logged
    assert [secret for secret in secrets if secret in held + logged] == []
