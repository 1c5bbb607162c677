"""Liveness, readiness and metrics, without a key."""

from datetime import timedelta
from pathlib import Path

import httpx
import psycopg
import pytest
from asgi_lifespan import LifespanManager
from psycopg.sql import SQL, Identifier
from pydantic import SecretStr

from api.app import create
from api.http.deps import READINESS
from service.base.settings import DatabaseSettings, Settings
from tests.conftest import Connect, MakeKey, Serve
from tests.locks import writer_busy
from tests.marks import only_postgresql, only_sqlite

pytestmark = pytest.mark.asyncio


async def test_a_live_process_is_ready_while_its_database_answers(bare_client: httpx.AsyncClient) -> None:
    assert (await bare_client.get("/healthz")).json() == {"status": "ok"}
    assert (await bare_client.get("/readyz")).json() == {"status": "ready"}


async def test_without_its_database_a_process_lives_but_is_not_ready(
    tmp_path: Path, serve: Serve, connect: Connect
) -> None:
    away = DatabaseSettings(url=SecretStr(f"postgresql://nobody@/nothing?host={tmp_path}"))
    async with serve(Settings(database=away)) as app:
        client = connect(app)
        ready = await client.get("/readyz")
        assert (await client.get("/healthz")).status_code == 200
    assert ready.status_code == 503
    assert ready.json()["code"] == "database_unavailable"
    assert ready.headers["Retry-After"] == "5"


async def test_a_process_that_can_not_write_is_not_ready(
    bare_settings: Settings, database_url: str, serve: Serve, connect: Connect
) -> None:
    database = bare_settings.database.model_copy(update={"timeout": timedelta(seconds=1)})
    async with serve(bare_settings.model_copy(update={"database": database})) as app:
        client = connect(app)
        async with writer_busy(database_url):
            busy = await client.get("/readyz")
            alive = await client.get("/healthz")
        ready = await client.get("/readyz")
    assert (busy.status_code, busy.json()["code"]) == (503, "database_unavailable")
    assert (alive.status_code, ready.status_code) == (200, 200)


@only_postgresql
async def test_a_standby_is_not_ready_and_takes_no_change(
    bare_settings: Settings, database_url: str, serve: Serve, connect: Connect, make_key: MakeKey
) -> None:
    secret = await make_key("admin")
    with psycopg.connect(database_url, autocommit=True) as server:
        name = Identifier(server.info.dbname)
        server.execute(SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
    async with serve(bare_settings) as app:
        client = connect(app, secret)
        ready = await client.get("/readyz")
        change = await client.post("/v1/keys", json={"label": "ci", "bindings": [{"role": "viewer"}]})
        read = await client.get("/v1/keys")
    assert (ready.status_code, ready.json()["code"]) == (503, "database_unavailable")
    assert (change.status_code, change.json()["code"]) == (503, "database_unavailable")
    assert read.status_code == 200


@only_sqlite
async def test_a_draining_process_is_not_ready(bare_settings: Settings, connect: Connect) -> None:
    async with LifespanManager(create(bare_settings)) as manager:
        manager._state[READINESS].ending.set()
        answer = await connect(manager.app).get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["code"] == "shutting_down"


@only_sqlite
async def test_metrics_name_the_route_and_never_the_path(bare_client: httpx.AsyncClient) -> None:
    await bare_client.get("/v1/repositories/somebodys/typo")
    await bare_client.get("/no/such/path")
    figures = (await bare_client.get("/metrics")).text
    assert 'wharfinger_requests_total{method="GET",route="/v1/repositories/{name' in figures
    assert 'route="none",status="404"' in figures
    assert "typo" not in figures
    assert "no/such" not in figures
