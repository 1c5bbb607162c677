"""`wharfinger keys`, as the process that an operator or a script runs."""

import asyncio
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

import httpx
import pytest
from starlette.types import ASGIApp

from service.access.actions import Role
from service.access.authz import Binding
from service.base.db import Database
from service.base.settings import PREFIX
from tests import command_line
from tests.conftest import ACCOUNT, REGION, Connect
from tests.keys import store
from tests.marks import only_sqlite

Run = Callable[..., "CompletedProcess[str]"]

_ADMIN = ("keys", "create", "--role", "admin", "--label", "first")


@pytest.fixture
def run(database_url: str) -> Run:
    """Runs the command line on the test's database."""
    return _on(database_url)


def _on(url: str) -> Run:
    registry = {"name": "local", "account_id": ACCOUNT, "region": REGION}
    environment = os.environ | {
        f"{PREFIX}DATABASE__URL": url,
        f"{PREFIX}REGISTRIES": json.dumps([registry]),
        f"{PREFIX}CLUSTERS": json.dumps([{"name": "demo"}]),
    }

    return partial(command_line.run, environment=environment)


@pytest.mark.asyncio
async def test_a_key_works_at_once_and_is_in_the_audit_trail(run: Run, bare_app: ASGIApp, connect: Connect) -> None:
    """While the service is running, on the same database."""
    made = await asyncio.to_thread(run, *_ADMIN)

    assert made.returncode == 0, made.stderr
    secret = made.stdout.removesuffix("\n")
    admin = connect(bare_app, secret)
    [key] = (await admin.get("/v1/keys")).json()["items"]
    [entry] = (await admin.get("/v1/audit", params={"actor": "cli"})).json()["items"]
    assert (key["label"], key["created_by"]) == ("first", "cli")
    assert (entry["action"], entry["status"], entry["target"]) == ("key.create", "succeeded", key["id"])
    assert key["id"] in made.stderr
    assert secret not in made.stderr


def test_a_database_that_is_not_to_be_reached_is_said_with_the_reason() -> None:
    done = _on("postgresql://someone:hush@127.0.0.1:1/x")("migrate")

    assert (done.returncode, done.stdout) == (2, "")
    assert "database.url" in done.stderr
    assert "Connection refused" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hush" not in done.stderr


def test_a_database_whose_folder_can_not_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = _on(f"sqlite:///{tmp_path / 'file' / 'wharfinger.db'}")("migrate")

    assert (done.returncode, done.stdout) == (2, "")
    assert str(tmp_path / "file") in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_is_not_there_yet_is_made(tmp_path: Path) -> None:
    made = _on(f"sqlite:///{tmp_path / 'new' / 'wharfinger.db'}")(*_ADMIN)

    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("whf_")
    assert made.stdout.count("\n") == 1


@only_sqlite
@pytest.mark.asyncio
async def test_a_key_is_rotated_and_revoked(run: Run, bare_app: ASGIApp, connect: Connect) -> None:
    first = json.loads((await asyncio.to_thread(run, *_ADMIN, "--json")).stdout)
    options = (
        "--role",
        "developer",
        "--label",
        "ci",
        "--repository",
        "team",
        "--registry",
        "local",
        "--expires-in",
        "30d",
    )
    made = json.loads((await asyncio.to_thread(run, "keys", "create", *options, "--json")).stdout)
    assert made["bindings"] == [
        {"role": "developer", "repository": "team", "registry": "local", "cluster": None, "namespace": None}
    ]
    assert made["expires_at"] is not None

    rotated = await asyncio.to_thread(run, "keys", "rotate", made["id"], "--overlap", "0m")

    assert rotated.returncode == 0, rotated.stderr
    secret = rotated.stdout.removesuffix("\n")
    assert await _status(connect(bare_app, made["secret"])) == 401
    assert await _status(connect(bare_app, secret)) == 200

    revoked = await asyncio.to_thread(run, "keys", "revoke", made["id"])

    assert (revoked.returncode, revoked.stdout) == (0, ""), revoked.stderr
    assert await _status(connect(bare_app, secret)) == 401
    refused = await asyncio.to_thread(run, "keys", "revoke", first["id"])
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("wharfinger: It is the last key")
    assert refused.stderr.count("\n") == 1

    listed = await asyncio.to_thread(run, "keys", "list")
    assert [line.split("\t")[0] for line in listed.stdout.splitlines()] == [made["id"], first["id"]]
    assert [line.split("\t")[1].split()[0] for line in listed.stdout.splitlines()] == ["revoked", "live"]
    as_json = json.loads((await asyncio.to_thread(run, "keys", "list", "--json")).stdout)
    assert [key["id"] for key in as_json["items"]] == [made["id"], first["id"]]
    assert "secret" not in as_json["items"][0]


@only_sqlite
@pytest.mark.parametrize(
    ("options", "bounds"),
    [
        ((), ("*", "*", "*", "*")),
        (("--cluster", "demo", "--namespace", "team"), (None, None, "demo", "team")),
        (("--namespace", "team"), (None, None, "*", "team")),
        (("--registry", "local"), ("local", "*", None, None)),
        (("--repository", "team", "--namespace", "team"), ("*", "team", "*", "team")),
        (("--registry", "*", "--cluster", "demo"), ("*", "*", "demo", "*")),
    ],
)
def test_a_side_that_is_not_named_is_not_reached(
    run: Run, options: tuple[str, ...], bounds: tuple[str | None, ...]
) -> None:
    made = run("keys", "create", "--role", "deployer", "--label", "ci", "--json", *options)

    assert made.returncode == 0, made.stderr
    [binding] = json.loads(made.stdout)["bindings"]
    assert tuple(binding[part] for part in ("registry", "repository", "cluster", "namespace")) == bounds


@pytest.mark.asyncio
async def test_a_key_of_before_is_listed_with_what_it_reaches_unmeant(run: Run, database: Database) -> None:
    wide = Binding(role=Role.ADMIN, registry="*", repository="*", cluster="demo", namespace="team")
    await store(database, "of before", [wide], is_written_out=False)
    await store(database, "everywhere", [Binding(role=Role.ADMIN)], is_written_out=False)
    await store(database, "of now", [wide])

    listed = await asyncio.to_thread(run, "keys", "list")

    [warning] = listed.stderr.splitlines()
    assert "(of before): bindings[0] reaches all registries" in warning
    assert listed.stdout.count("\n") == 3


async def _status(client: httpx.AsyncClient) -> int:
    return (await client.get("/v1/audit")).status_code


@only_sqlite
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("create", "--role", "root", "--label", "x"), "role: must be"),
        (("create", "--role", "admin", "--label", ""), "label: "),
        (("create", "--role", "admin", "--label", "x", "--expires-in", "soon"), "30d, 12h"),
        (("create", "--role", "deployer", "--label", "x", "--cluster", "dmeo"), "'dmeo' is not in the settings"),
        (("create", "--role", "viewer", "--label", "x", "--registry", "remote"), "which have: local"),
        (("create", "--role", "viewer", "--label", "x", "--namespace", ""), "namespace: "),
        (("create", "--role", "viewer", "--label", "x", "--repository", "team/*"), "repository: must match"),
        (("create", "--role", "admin", "--label", "x", "--expires-in", "0d"), "in the future"),
        (("rotate", "01a20000-0000-7000-8000-000000000000"), "There is no key"),
        (("revoke", "x"), "valid UUID"),
    ],
)
def test_a_mistake_is_said_and_not_traced(run: Run, arguments: tuple[str, ...], complaint: str) -> None:
    done = run("keys", *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
