"""Who may have which docker credential, and what is vended to nobody."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from sandbox.server import Sandbox
from service.access.actions import Role
from service.base.settings import Settings
from tests.api.token_requests import PULL, PUSH, vends
from tests.conftest import Connect, MakeKey, Serve
from tests.marks import only_sqlite

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("team_and_other")]

AskAs = Callable[[Role], Awaitable[httpx.AsyncClient]]


@pytest.fixture
def ask_as(app: ASGIApp, connect: Connect, make_key: MakeKey) -> AskAs:
    """A client of someone with a role in the repositories below `team`."""

    async def make(role: Role) -> httpx.AsyncClient:
        return connect(app, await make_key(role, repository="team"))

    return make


@only_sqlite
@pytest.mark.parametrize(
    ("role", "body", "status"),
    [
        (Role.VIEWER, PULL, 403),
        (Role.DEPLOYER, PULL, 200),
        (Role.DEPLOYER, PUSH, 403),
        (Role.DEVELOPER, PUSH, 200),
        (Role.DEVELOPER, {"repositories": ["other/app"], "actions": ["pull"]}, 404),
        (Role.DEVELOPER, {"repositories": ["team/app", "other/app"], "actions": ["pull"]}, 404),
        (Role.DEVELOPER, {"scope": "registry", "actions": ["pull"]}, 403),
    ],
)
async def test_who_may_have_which(ask_as: AskAs, role: Role, body: dict[str, Any], status: int) -> None:
    caller = await ask_as(role)
    assert (await caller.post("/v1/tokens", json=body)).status_code == status


@only_sqlite
@pytest.mark.parametrize(
    ("prefix", "scope", "status"),
    [
        ("*", "team/*", 200),
        ("team", "team/*", 200),
        ("team", "team/app/*", 200),
        ("team", "teams/*", 404),
        ("team/app", "team/*", 404),
        ("team/app", "team/app/*", 200),
        ("tea", "team/*", 404),
    ],
)
async def test_a_prefix_is_vended_within_the_callers_binding(
    app: ASGIApp, connect: Connect, make_key: MakeKey, *, prefix: str, scope: str, status: int
) -> None:
    caller = connect(app, await make_key(Role.DEVELOPER, repository=prefix))
    assert (await caller.post("/v1/tokens", json={"repositories": [scope], "actions": ["pull"]})).status_code == status


@only_sqlite
@pytest.mark.parametrize(
    "body",
    [
        {"repositories": [], "actions": ["pull"]},
        {"actions": ["pull"]},
        {"repositories": ["team/app"], "actions": []},
        {"repositories": ["team/app"], "actions": ["delete"]},
        {"repositories": ["team/app"], "actions": ["pull"], "scope": "registry"},
        {"repositories": ["*"], "actions": ["pull"]},
        {"repositories": ["team*"], "actions": ["pull"]},
        {"repositories": ["*/app"], "actions": ["pull"]},
        {"repositories": ["team/*/app"], "actions": ["pull"]},
        {"repositories": ["team/"], "actions": ["pull"]},
        {"repositories": ["team/app"], "actions": ["pull"], "min_seconds": 59},
        {"repositories": ["team/app"], "actions": ["pull"], "min_seconds": 3541},
        {"repositories": ["team/app"], "actions": ["pull"], "min_seconds": "900"},
        {"repositories": ["team/app"], "actions": ["pull"], "min_seconds": 900.0},
        {"repositories": [f"team/{'long' * 20}-{number}" for number in range(40)], "actions": ["pull"]},
    ],
)
async def test_what_can_not_be_narrowed_is_refused(
    admin: httpx.AsyncClient, aws: Sandbox, body: dict[str, Any]
) -> None:
    assert (await admin.post("/v1/tokens", json=body)).status_code == 422
    assert vends(aws) == []


@only_sqlite
async def test_without_a_broker_role_only_the_whole_registry_is_possible(
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey
) -> None:
    bare = [registry.model_copy(update={"broker_role": None}) for registry in settings.registries]
    async with serve(settings.model_copy(update={"registries": tuple(bare)})) as app:
        caller = connect(app, await make_key(Role.ADMIN))
        narrow = await caller.post("/v1/tokens", json=PULL)
        wide = await caller.post("/v1/tokens", json={"scope": "registry", "actions": ["pull"]})
    assert (narrow.status_code, narrow.json()["code"]) == (409, "broker_role_missing")
    assert "broker_role" in narrow.json()["detail"]
    # And that only if wharfinger's own role may log in, which the role of deploy/iam may not.
    assert (wide.status_code, wide.json()["code"]) == (502, "aws_permission_missing")
    assert "ecr:GetAuthorizationToken" in wide.json()["detail"]
