"""`/v1/audit`: searched, paged, read; who sees what."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from service.access.actions import Action
from service.access.authz import Target
from service.base import paging
from service.base.db import Database
from service.models.audit import Status
from service.operations.calls import Intent, nothing
from service.operations.ledger import Ledger
from tests.conftest import Connect, MakeKey
from tests.marks import only_sqlite
from tests.service.calls import make_call
from tests.service_process import ServiceProcess

pytestmark = pytest.mark.asyncio

VIEWER = {"label": "a viewer", "bindings": [{"role": "viewer"}]}


async def make_keys(client: httpx.AsyncClient, count: int) -> list[str]:
    """Something to look for: the operations that made `count` keys, the newest first."""
    made = [await client.post("/v1/keys", json=VIEWER) for _ in range(count)]
    return [answer.headers["Operation-Id"] for answer in reversed(made)]


async def search(client: httpx.AsyncClient, **wanted: str) -> list[dict[str, Any]]:
    answer = await client.get("/v1/audit", params=wanted)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def ids(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["id"] for entry in entries]


async def test_an_entry_says_all_there_is_to_say(bare_admin: httpx.AsyncClient) -> None:
    answer = await bare_admin.post("/v1/keys", json=VIEWER, headers={"X-Request-Id": "build-7"})
    made = answer.json()
    del made["secret"]

    entry = (await bare_admin.get(f"/v1/audit/{answer.headers['Operation-Id']}")).json()

    started, completed = (datetime.fromisoformat(entry.pop(name)) for name in ("started_at", "completed_at"))
    assert started <= completed
    assert entry == {
        "id": answer.headers["Operation-Id"],
        "parent_id": None,
        "actor": {"id": made["created_by"], "label": "the admin"},
        "action": "key.create",
        "registry": None,
        "target": made["id"],
        "request_id": "build-7",
        "client_address": "127.0.0.1",
        "request": {
            "label": "a viewer",
            "bindings": [
                {"role": "viewer", "repository": "*", "registry": "*", "cluster": "*", "namespace": "*"},
            ],
            "expires_at": None,
        },
        "status": "succeeded",
        "code": None,
        "aws": None,
        "result": made,
        "note": None,
        "settled_by": "request",
        "replay_of": None,
    }


async def test_what_was_refused_and_what_was_replayed_is_there_too(
    bare_app: ASGIApp, bare_admin: httpx.AsyncClient, connect: Connect, make_key: MakeKey
) -> None:
    viewer = connect(bare_app, await make_key("viewer"))
    url = (await bare_admin.post("/v1/keys", json=VIEWER)).headers["Location"]
    once = {"Idempotency-Key": "once"}
    refused = await viewer.delete(url, headers=once)
    first = await bare_admin.delete(url, headers=once)
    await bare_admin.delete(url, headers=once)

    replayed, done, denied = await search(bare_admin, action="key.revoke")

    assert (replayed["status"], replayed["replay_of"]) == ("replayed", first.headers["Operation-Id"])
    assert (done["status"], done["id"]) == ("succeeded", first.headers["Operation-Id"])
    assert (denied["status"], denied["code"]) == ("refused", refused.json()["code"])
    assert denied["actor"]["label"] == "the viewer"


async def test_pages_follow_each_other_without_a_gap(bare_admin: httpx.AsyncClient) -> None:
    made = await make_keys(bare_admin, 5)

    first = await bare_admin.get("/v1/audit", params={"limit": 2, "action": "key.create"})
    await make_keys(bare_admin, 1)  # what comes meanwhile does not shift the pages
    second = await bare_admin.get(first.links["next"]["url"])
    third = await bare_admin.get(second.links["next"]["url"])

    assert [ids(page.json()["items"]) for page in (first, second, third)] == [made[:2], made[2:4], made[4:]]
    assert "Link" not in third.headers


async def test_a_search_narrows_by_each_field(
    bare_app: ASGIApp, bare_admin: httpx.AsyncClient, connect: Connect
) -> None:
    second = (await bare_admin.post("/v1/keys", json={"label": "b", "bindings": [{"role": "admin"}]})).json()
    [by_first] = ids(await search(bare_admin))
    other = connect(bare_app, second["secret"])
    url = (await other.post("/v1/keys", json=VIEWER)).headers["Location"]
    rotated = (await other.post(f"{url}/rotations")).headers["Operation-Id"]
    refused = (await connect(bare_app).delete(url)).status_code
    failed_on = "01a20000-0000-7000-8000-000000000000"
    await other.delete(f"/v1/keys/{failed_on}")

    assert refused == 401
    assert by_first not in ids(await search(bare_admin, actor=second["id"]))
    assert len(await search(bare_admin, actor=second["id"])) == 3
    assert ids(await search(bare_admin, action="key.rotate")) == [rotated]
    assert ids(await search(bare_admin, target=second["id"])) == [by_first]
    assert [entry["target"] for entry in await search(bare_admin, status="failed")] == [failed_on]
    assert await search(bare_admin, status="failed", action="key.create") == []
    assert await search(bare_admin, target="%") == []


async def test_a_label_finds_what_its_key_did(
    bare_app: ASGIApp, bare_admin: httpx.AsyncClient, connect: Connect, make_key: MakeKey
) -> None:
    other = connect(bare_app, await make_key("admin", label="team-ci"))
    [by_other] = await make_keys(other, 1)
    await make_keys(bare_admin, 1)

    assert ids(await search(bare_admin, actor_label="team-ci")) == [by_other]
    assert await search(bare_admin, actor_label="team") == []


async def test_a_prefix_finds_whole_segments_and_a_target_only_itself(admin: httpx.AsyncClient) -> None:
    for name in ("team", "team/app", "team/app/base", "team-b/app"):
        assert (await admin.post("/v1/repositories", json={"name": name})).status_code == 201

    async def targets(**wanted: str) -> list[str]:
        return [entry["target"] for entry in await search(admin, action="repository.create", **wanted)]

    below_team = ["local/team/app/base", "local/team/app", "local/team"]
    assert await targets(target_prefix="local/team") == await targets(target_prefix="local/team/") == below_team
    assert await targets(target_prefix="local/team/app", target="local/team/app") == ["local/team/app"]
    assert await targets(target_prefix="local/team-b", target="local/team/app") == []
    assert await targets(target="local/team") == ["local/team"]
    assert await targets(target_prefix="local/te") == []


async def test_a_vend_is_found_by_each_of_the_many_it_names(developer: httpx.AsyncClient) -> None:
    names = [f"team/{'long' * 10}-{number}" for number in range(15)]
    vend = await developer.post("/v1/tokens", json={"repositories": names, "actions": ["pull"]})
    assert vend.status_code == 200

    for name in names:
        assert ids(await search(developer, target=f"local/{name}")) == [vend.headers["Operation-Id"]]
    assert ids(await search(developer, target_prefix="local/team")) == [vend.headers["Operation-Id"]]


async def test_the_trail_is_in_order_of_completion_and_what_is_open_is_asked_for(
    bare_admin: httpx.AsyncClient, database: Database
) -> None:
    ledger = Ledger(database=database, remember=timedelta(hours=1))
    is_about = Intent(Action.KEY_REVOKE, Target(key="a"), {}, nothing)
    slow = await ledger.open(make_call(), is_about)
    quick = await ledger.open(make_call(), is_about)
    await ledger.complete(quick, Status.SUCCEEDED)
    page = {"limit": "1", "action": "key.revoke"}
    first = (await bare_admin.get("/v1/audit", params=page)).json()
    assert ids(await search(bare_admin, status="pending")) == ids(
        await search(bare_admin, status="pending", target="a")
    )
    assert ids(await search(bare_admin, status="pending", target_prefix="a")) == [slow]
    assert await search(bare_admin, status="pending", target_prefix="b") == []

    await ledger.complete(slow, Status.FAILED)

    assert ids(first["items"]) == [quick]
    assert ids(await search(bare_admin, action="key.revoke")) == [slow, quick]
    assert await search(bare_admin, status="pending") == []


async def test_what_is_open_is_found_by_each_of_the_many_it_names(
    bare_admin: httpx.AsyncClient, database: Database
) -> None:
    ledger = Ledger(database=database, remember=timedelta(hours=1))
    targets = [Target("local", "team/app"), Target("local", "other/app")]
    vend = await ledger.open(
        make_call(), Intent(Action.TOKEN_PULL, Target("local", "other/app,team/app"), {}, nothing, targets=targets)
    )

    for wanted in ({"target": "local/team/app"}, {"target": "local/other/app"}, {"target_prefix": "local/team"}):
        assert ids(await search(bare_admin, status="pending", **wanted)) == [vend]
    for other in ({"target": "local/team"}, {"target": '"'}, {"target": "%"}, {"target_prefix": "local/te"}):
        assert await search(bare_admin, status="pending", **other) == []


async def test_pages_of_what_is_open_follow_each_other(bare_admin: httpx.AsyncClient, database: Database) -> None:
    ledger = Ledger(database=database, remember=timedelta(hours=1))
    opened = [await ledger.open(make_call(), Intent(Action.KEY_REVOKE, Target(key="a"), {}, nothing)) for _ in range(3)]
    first = await bare_admin.get("/v1/audit", params={"status": "pending", "limit": 2})
    second = await bare_admin.get(first.links["next"]["url"])

    assert ids(first.json()["items"]) + ids(second.json()["items"]) == list(reversed(opened))
    assert second.json()["next_cursor"] is None


@only_sqlite
async def test_a_cursor_of_another_list_is_refused(bare_admin: httpx.AsyncClient) -> None:
    for position in ({"after": "01a20000-0000-7000-8000-000000000000"}, {"at": "today", "after": "x"}, {"at": 1}):
        answer = await bare_admin.get("/v1/audit", params={"cursor": paging.encode(position)})
        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, "query.cursor")


@only_sqlite
@pytest.mark.parametrize(
    ("trusted", "address"), [("", "127.0.0.1"), ('trusted_proxies = ["127.0.0.0/8"]', "203.0.113.9")]
)
async def test_the_address_of_the_client_is_believed_of_named_proxies_alone(
    tmp_path: Path, database_url: str, secret: str, trusted: str, address: str
) -> None:
    process = ServiceProcess(tmp_path, f'{trusted}\n[database]\nurl = "{database_url}"')
    process.start()
    try:
        async with process.client(secret) as client:
            await client.post("/v1/keys", json=VIEWER, headers={"X-Forwarded-For": "203.0.113.9"})
            [entry] = await search(client, action="key.create")
    finally:
        process.stop()

    assert entry["client_address"] == address


async def test_what_a_named_proxy_hands_on_as_an_address_may_be_anything(
    bare_app: ASGIApp, bare_admin: httpx.AsyncClient, secret: str
) -> None:
    transport = httpx.ASGITransport(bare_app, client=("x" * 1000, 1))
    headers = {"Authorization": f"Bearer {secret}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://wharfinger.test", headers=headers) as client:
        assert (await client.post("/v1/keys", json=VIEWER)).status_code == 201
    [entry] = await search(bare_admin, action="key.create")
    assert entry["client_address"] == "x" * 64


async def test_a_span_of_time_has_its_start_and_not_its_end(bare_admin: httpx.AsyncClient) -> None:
    made = await make_keys(bare_admin, 3)
    times = [entry["started_at"] for entry in await search(bare_admin)]

    assert ids(await search(bare_admin, since=times[1])) == made[:2]
    assert ids(await search(bare_admin, until=times[1])) == made[2:]
    assert ids(await search(bare_admin, since=times[1], until=times[0])) == [made[1]]
    elsewhere = datetime.fromisoformat(times[1]) - timedelta(days=3650)
    assert await search(bare_admin, until=elsewhere.isoformat()) == []
    assert ids(await search(bare_admin, since=elsewhere.isoformat())) == made


async def test_everybody_sees_their_own_and_an_auditor_sees_all(
    bare_app: ASGIApp, bare_admin: httpx.AsyncClient, connect: Connect, make_key: MakeKey
) -> None:
    developer = connect(bare_app, await make_key("developer"))
    auditor = connect(bare_app, await make_key("auditor"))
    narrow = connect(bare_app, await make_key("auditor", repository="team"))
    [by_admin] = await make_keys(bare_admin, 1)
    await developer.get("/v1/keys")
    await developer.post("/v1/keys", json=VIEWER)

    [own] = await search(developer)

    assert own["actor"]["label"] == "the developer"
    assert ids(await search(auditor)) == ids(await search(bare_admin)) == [own["id"], by_admin]
    assert await search(narrow) == []
    assert (await developer.get(f"/v1/audit/{own['id']}")).status_code == 200
    hidden = await developer.get(f"/v1/audit/{by_admin}")
    assert (hidden.status_code, hidden.json()["code"]) == (404, "operation_not_found")
    [actor] = {entry["actor"]["id"] for entry in await search(auditor, actor=own["actor"]["id"])}
    assert actor == own["actor"]["id"]
    [admins] = {entry["actor"]["id"] for entry in await search(auditor) if entry["id"] == by_admin}
    assert await search(developer, actor=admins) == []


@only_sqlite
@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ({"status": "done"}, "query.status"),
        ({"action": "key.destroy"}, "query.action"),
        ({"since": "yesterday"}, "query.since"),
        ({"since": "2026-11-23T10:00:00"}, "query.since"),
        ({"until": "0001-01-01T00:00:00+02:00"}, "query.until"),
        ({"actor": "a\0b"}, "query.actor"),
        ({"target": ""}, "query.target"),
        ({"limit": "0"}, "query.limit"),
        ({"who": "me"}, "query.who"),
    ],
)
async def test_a_mistake_is_named(bare_admin: httpx.AsyncClient, wanted: dict[str, str], path: str) -> None:
    answer = await bare_admin.get("/v1/audit", params=wanted)

    assert answer.status_code == 400
    assert [mistake["path"] for mistake in answer.json()["errors"]] == [path]


@only_sqlite
async def test_an_id_that_is_none_is_refused(bare_admin: httpx.AsyncClient) -> None:
    assert (await bare_admin.get("/v1/audit/not-an-id")).status_code == 400
    assert (await bare_admin.get("/v1/audit/01a20000-0000-7000-8000-000000000000")).status_code == 404
