"""The registries of the settings, and whether they can be reached."""

import httpx
import pytest

from service.access.actions import Role
from service.base.settings import Settings
from tests.conftest import ACCOUNT, REGION, Connect, MakeKey, Serve
from tests.marks import only_sqlite

pytestmark = [pytest.mark.asyncio, only_sqlite]


async def test_the_registries_are_those_of_the_settings(admin: httpx.AsyncClient) -> None:
    listed = (await admin.get("/v1/registries")).json()["items"]
    assert [(one["name"], one["region"], one["is_default"]) for one in listed] == [
        ("local", REGION, True),
        ("local-us", "us-east-1", False),
    ]


async def test_one_says_what_aws_says_of_it(admin: httpx.AsyncClient) -> None:
    found = (await admin.get("/v1/registries/local")).json()
    assert (found["account_id"], found["reachable"], found["problem"]) == (ACCOUNT, True, None)
    assert found["settings"] == {"BASIC_SCAN_TYPE_VERSION": "AWS_NATIVE", "REGISTRY_POLICY_SCOPE": "V2"}


async def test_one_that_does_not_answer_is_not_reachable(
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey
) -> None:
    # Port 9 of loopback: nothing listens there.
    gone = [one.model_copy(update={"endpoint": "http://127.0.0.1:9"}) for one in settings.registries]
    async with serve(settings.model_copy(update={"registries": tuple(gone)})) as app:
        found = await connect(app, await make_key(Role.VIEWER)).get("/v1/registries/local")
    assert (found.status_code, found.json()["reachable"]) == (200, False)
    assert found.json()["problem"] == "aws_unavailable"


async def test_a_repository_of_another_registry_is_another(admin: httpx.AsyncClient) -> None:
    made = await admin.post("/v1/repositories?registry=local-us", json={"name": "app"})
    assert (await admin.get(made.headers["Location"])).json() == made.json()
    assert (await admin.get("/v1/repositories/app")).status_code == 404
