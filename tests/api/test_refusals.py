"""A change that a caller may not make: refused before AWS is asked, and recorded all the same."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import insert, select

from service.access.actions import Role
from service.base.clock import utcnow
from service.base.db import Database
from service.base.settings import ClusterSettings, RegistrySettings, Settings
from service.base.tables import deployments, jobs, operations
from tests.api.routes import Route, routes
from tests.conftest import Connect, MakeKey, Serve

KEY = "/v1/keys/01890000-0000-7000-8000-000000000000"
ID = "01890000-0000-7000-8000-000000000001"
DEPLOYMENT = f"/v1/deployments/{ID}"
JOB = f"/v1/jobs/{ID}"
WORKLOAD = {"cluster": "demo", "name": "app", "image": "team/app:1", "port": 8080}
DOCUMENT = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "ecr:BatchGetImage"}],
}
ASKED: dict[str, tuple[str, str, Any]] = {
    "create_repository": ("POST", "/v1/repositories", {"name": "team/app"}),
    "update_repository": ("PATCH", "/v1/repositories/team/app", {"scan_on_push": False}),
    "delete_repository": ("DELETE", "/v1/repositories/team/app", None),
    "tag_image": ("PUT", "/v1/images/team/app:2", {"source": "1"}),
    "delete_image": ("DELETE", "/v1/images/team/app:1", None),
    "put_repository_policy": ("PUT", "/v1/policies/repositories/team/app", DOCUMENT),
    "delete_repository_policy": ("DELETE", "/v1/policies/repositories/team/app", None),
    "vend_token": ("POST", "/v1/tokens", {"repositories": ["team/app"], "actions": ["pull"]}),
    "create_deployment": ("POST", "/v1/deployments", WORKLOAD),
    "roll_back_deployment": ("POST", f"{DEPLOYMENT}/rollback", {}),
    "cancel_deployment": ("POST", f"{DEPLOYMENT}/cancel", None),
    "delete_deployment": ("DELETE", DEPLOYMENT, None),
    "cancel_job": ("POST", f"{JOB}/cancel", None),
    "retry_job": ("POST", f"{JOB}/retry", None),
    "create_key": ("POST", "/v1/keys", {"label": "ci", "bindings": [{"role": "viewer"}]}),
    "rotate_key": ("POST", f"{KEY}/rotations", {}),
    "revoke_key": ("DELETE", KEY, None),
}
CHANGING = {route.operation_id: route for route in routes() if route.method != "GET"}


@pytest_asyncio.fixture
async def auditor(
    bare_settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey
) -> AsyncIterator[httpx.AsyncClient]:
    """May read everything and change nothing; nobody listens where AWS should be."""
    nowhere = RegistrySettings.model_validate(
        {"name": "local", "account_id": "111111111111", "region": "eu-central-1", "endpoint": "http://127.0.0.1:1"}
    )
    places = {"registries": (nowhere,), "clusters": (ClusterSettings(name="demo"),)}
    async with serve(bare_settings.model_copy(update=places)) as app:
        yield connect(app, await make_key(Role.AUDITOR))


def test_every_route_that_changes_something_is_tried_here() -> None:
    assert set(ASKED) == set(CHANGING)
    assert {name: ASKED[name][0] for name in ASKED} == {name: CHANGING[name].method for name in CHANGING}


@pytest.mark.asyncio
@pytest.mark.parametrize("route", CHANGING.values(), ids=str)
async def test_a_refusal_is_recorded_and_nothing_is_asked_of_aws(
    auditor: httpx.AsyncClient, database: Database, route: Route
) -> None:
    await _add_deployment(database)
    method, url, body = ASKED[route.operation_id]
    answer = await auditor.request(method, url, json=body, headers={"X-Request-Id": "refused-1"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    async with database.read() as connection:
        asked = select(operations).where(operations.c.request_id == "refused-1")
        [row] = (await connection.execute(asked)).mappings().all()
    assert (row["status"], row["code"], row["request_id"]) == ("refused", "forbidden", "refused-1")
    assert (row["actor_label"], row["settled_by"]) == ("the auditor", "request")


async def _add_deployment(database: Database) -> None:
    """One that is over, and its job, for the routes that are about one."""
    now = utcnow()
    who = {"actor": "k", "actor_label": "k", "request_id": "r"}
    made = {"id": ID, "action": "deployment.create", "target": "demo/default/app", "request": {}}
    times = {"started_at": now, "deadline_at": now, "completed_at": now}
    place = {"cluster": "demo", "namespace": "default", "name": "app", "generation": 1, "kind": "deploy"}
    image = {"image": "team/app:1", "image_uri": "u", "digest": "d", "spec": {}, "checks": {}, "urls": []}
    over = {"id": ID, "status": "succeeded", "accepted_at": now, "finished_at": now}
    done = {"state": "succeeded", "attempts": 1, "epoch": 1, "run_at": now, "created_at": now, "finished_at": now}
    job = {"id": ID, "kind": "deployment", "key": "demo/default/app", "payload": {}, "target": made["target"]} | done
    async with database.write() as connection:
        await connection.execute(insert(operations).values(who | made | times | {"status": "succeeded"}))
        await connection.execute(insert(deployments).values(who | place | image | over))
        await connection.execute(insert(jobs).values(who | job))
