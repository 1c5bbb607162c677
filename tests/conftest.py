"""What the tests stand on: a database of each engine, the stand-in for AWS, the real app over ASGI, callers by role.

A test that asks for `database_url`, directly or through another fixture, runs once per engine; mark it `only_sqlite`
(from `tests.marks`) where the engine can't matter.
"""

import asyncio
import gc
import os
import shutil
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import pytest
import pytest_asyncio
import trustme
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from api.app import create, lifespan_of
from service.access.actions import Role
from service.access.authz import Binding
from service.base.db import Database
from service.base.settings import (
    DEFAULT_FILE,
    FILE_VARIABLE,
    PREFIX,
    ClusterSettings,
    DatabaseSettings,
    DeadlineSettings,
    JobsWork,
    RegistrySettings,
    Settings,
)
from tests import keys
from tests.databases import PostgresServer, SqliteTemplate
from tests.service_process import ServiceProcess

if TYPE_CHECKING:
    from sandbox.server import Sandbox

ACCOUNT, REGION, SECOND_REGION = "111111111111", "eu-central-1", "us-east-1"
ENGINES = ("sqlite", "postgresql")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test that needs a tool is skipped where there is none; in a full run that is a failure."""
    for marker in item.iter_markers("needs"):
        [tool] = marker.args
        if shutil.which(tool):
            continue
        if os.environ.get("CI_FULL") == "1":
            pytest.fail(f"this is a full run, and there is no {tool} on this machine", pytrace=False)
        pytest.skip(f"there is no {tool} on this machine")


def pytest_xdist_auto_num_workers() -> int:
    """Two for each core: half of the suite's time is spent waiting for processes, clusters and deadlines."""
    return 2 * (os.cpu_count() or 1)


def pytest_configure() -> None:
    """Until all is collected nothing is garbage: to look for some takes a quarter of the time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What was imported and collected stays: to look through it takes the garbage collector a fifth of a second."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Neither the developer's settings nor their AWS credentials reach a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith((PREFIX, "AWS_")):
                patch.delenv(name)
        empty = tmp_path_factory.mktemp("environment") / DEFAULT_FILE
        empty.touch()
        patch.setenv(FILE_VARIABLE, str(empty))
        patch.setenv("AWS_CONFIG_FILE", str(empty))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(empty))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        # What is spoken to by TLS is ours, and its certificate is named; to read the world's takes each client 20 ms.
        authority = empty.with_name("authority.pem")
        trustme.CA(key_type=trustme.KeyType.ECDSA).cert_pem.write_to_path(str(authority))
        patch.setenv("AWS_CA_BUNDLE", str(authority))
        patch.setenv("SSL_CERT_FILE", str(authority))
        yield


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> SqliteTemplate:
    return SqliteTemplate(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """The name of the database engine under test."""
    return str(request.param)


@pytest.fixture
def database_url(
    engine: str, sqlite_template: SqliteTemplate, postgres: PostgresServer, tmp_path: Path
) -> Iterator[str]:
    """An empty, migrated database, this test's alone while it runs."""
    with sqlite_template.database(tmp_path) if engine == "sqlite" else postgres.database() as url:
        yield url


@pytest.fixture
def bare_settings(database_url: str, tmp_path: Path) -> Settings:
    """Without a registry, so nothing can reach AWS; deadlines short enough to wait for."""
    return Settings(
        data_dir=tmp_path,
        database=DatabaseSettings(url=SecretStr(database_url), pool_size=5),
        deadlines=DeadlineSettings(
            request=timedelta(seconds=10),
            aws_connect=timedelta(seconds=2),
            aws_read=timedelta(seconds=2),
            aws_attempts=2,
            settle_grace=timedelta(milliseconds=100),
            second_look=timedelta(milliseconds=100),
            cloudtrail=timedelta(0),
            # Tests that want a sweep ask for one, so that none comes in between.
            sweep_interval=timedelta(hours=1),
        ),
    )


@pytest_asyncio.fixture
async def database(bare_settings: Settings) -> AsyncIterator[Database]:
    opened = Database(bare_settings)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def away(engine: str, bare_settings: Settings, tmp_path: Path) -> AsyncIterator[Database]:
    """A database that can't be reached: a folder is no SQLite file, and no server listens in it."""
    url = f"sqlite:///{tmp_path}" if engine == "sqlite" else f"postgresql://nobody@/nothing?host={tmp_path}"
    opened = Database(bare_settings.model_copy(update={"database": DatabaseSettings(url=SecretStr(url))}))
    yield opened
    await opened.close()
    # aiosqlite's thread for a connection that failed still reports to the loop, so it must end before the loop does.
    for thread in threading.enumerate():
        if "_connection_worker_thread" in thread.name:
            await asyncio.to_thread(thread.join, 1)


@pytest.fixture(scope="session")
def sandbox() -> "Iterator[Sandbox]":
    """The stand-in for AWS, one per worker; the process's AWS identity is its user `wharfinger`."""
    from sandbox.server import Sandbox  # noqa: PLC0415 - moto takes a second to import, and most tests need none

    with Sandbox(data=None) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment().items():
            patch.setenv(name, value)
        yield running


@pytest.fixture
def aws(sandbox: "Sandbox") -> "Sandbox":
    """The stand-in for AWS as it was seeded: no repositories, calls or faults."""
    sandbox.reset()
    return sandbox


@pytest.fixture
def registries(aws: "Sandbox") -> tuple[RegistrySettings, ...]:
    """The registry `local`, and `local-us` of the same account in another Region."""
    return tuple(
        RegistrySettings.model_validate(
            {
                "name": name,
                "account_id": ACCOUNT,
                "region": region,
                "role": f"arn:aws:iam::{ACCOUNT}:role/wharfinger",
                "broker_role": f"arn:aws:iam::{ACCOUNT}:role/wharfinger-broker",
                "endpoint": aws.endpoint(account=ACCOUNT, region=region),
            }
        )
        for name, region in (("local", REGION), ("local-us", SECOND_REGION))
    )


@pytest.fixture
def settings(bare_settings: Settings, registries: tuple[RegistrySettings, ...]) -> Settings:
    """The settings of a service that reaches the stand-in: `local` is its default registry, `demo` its cluster."""
    return bare_settings.model_copy(
        update={"registries": registries, "default_registry": "local", "clusters": (ClusterSettings(name="demo"),)}
    )


class _OwnState:
    """Gives each request its own copy of the lifespan's state, as a server does and LifespanManager does not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            scope["state"] = scope["state"].copy()
        await self._app(scope, receive, send)


Serve = Callable[[Settings], AbstractAsyncContextManager[ASGIApp]]


_apps: dict[tuple[int, timedelta, JobsWork], FastAPI] = {}


def _app(settings: Settings) -> FastAPI:
    """An app of these settings. Its routes are those of other tests: to build them takes longer than most requests."""
    of_its_own = (settings.limits.body_bytes, settings.deadlines.body, settings.jobs.work)
    if of_its_own not in _apps:
        _apps[of_its_own] = create(settings)
    app = _apps[of_its_own]
    app.router.lifespan_context = lifespan_of(settings)
    return app


@asynccontextmanager
async def _serve(settings: Settings) -> AsyncIterator[ASGIApp]:
    async with LifespanManager(_OwnState(_app(settings)), startup_timeout=30, shutdown_timeout=30) as manager:
        yield manager.app


@pytest.fixture
def serve() -> Serve:
    """Starts the app with the settings that a test gives it, for `connect`."""
    return _serve


@pytest_asyncio.fixture
async def app(settings: Settings) -> AsyncIterator[ASGIApp]:
    """The started app, whose AWS is the stand-in."""
    async with _serve(settings) as started:
        yield started


@pytest_asyncio.fixture
async def bare_app(bare_settings: Settings) -> AsyncIterator[ASGIApp]:
    """The started app, without any registry."""
    async with _serve(bare_settings) as started:
        yield started


class Connect(Protocol):
    def __call__(self, app: ASGIApp, secret: str | None = None) -> httpx.AsyncClient: ...


@pytest_asyncio.fixture
async def connect() -> AsyncIterator[Connect]:
    """Makes a client of an app, as the holder of a key or as nobody; a defect is answered 500, as in production."""
    async with AsyncExitStack() as stack:
        clients: list[httpx.AsyncClient] = []

        def make(app: ASGIApp, secret: str | None = None) -> httpx.AsyncClient:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            headers = {"Authorization": f"Bearer {secret}"} if secret else {}
            clients.append(httpx.AsyncClient(transport=transport, base_url="http://wharfinger.test", headers=headers))
            stack.push_async_callback(clients[-1].aclose)
            return clients[-1]

        yield make


class MakeKey(Protocol):
    def __call__(self, role: Role | str, *, label: str | None = None, **binding: str) -> Awaitable[str]: ...


@pytest.fixture
def make_key(database: Database) -> MakeKey:
    """Stores a key with one binding (`repository="team"`, …) and gives its secret."""

    async def make(role: Role | str, *, label: str | None = None, **binding: Any) -> str:  # noqa: ANN401 - patterns
        bound = Binding(role=Role(role), **binding)
        return await keys.store(database, label or f"the {bound.role}", (bound,))

    return make


@pytest.fixture
def client(app: ASGIApp, connect: Connect) -> httpx.AsyncClient:
    """A caller without a key."""
    return connect(app)


@pytest.fixture
def bare_client(bare_app: ASGIApp, connect: Connect) -> httpx.AsyncClient:
    """A caller without a key, of a service without a registry."""
    return connect(bare_app)


@pytest_asyncio.fixture
async def bare_admin(bare_app: ASGIApp, connect: Connect, make_key: MakeKey) -> httpx.AsyncClient:
    """An admin of a service without a registry."""
    return connect(bare_app, await make_key(Role.ADMIN))


@pytest_asyncio.fixture
async def admin(app: ASGIApp, connect: Connect, make_key: MakeKey) -> httpx.AsyncClient:
    return connect(app, await make_key(Role.ADMIN))


@pytest_asyncio.fixture
async def developer(app: ASGIApp, connect: Connect, make_key: MakeKey) -> httpx.AsyncClient:
    return connect(app, await make_key(Role.DEVELOPER))


@pytest_asyncio.fixture
async def deployer(app: ASGIApp, connect: Connect, make_key: MakeKey) -> httpx.AsyncClient:
    return connect(app, await make_key(Role.DEPLOYER))


@pytest_asyncio.fixture
async def auditor(app: ASGIApp, connect: Connect, make_key: MakeKey) -> httpx.AsyncClient:
    return connect(app, await make_key(Role.AUDITOR))


@pytest_asyncio.fixture
async def viewer(app: ASGIApp, connect: Connect, make_key: MakeKey) -> httpx.AsyncClient:
    return connect(app, await make_key(Role.VIEWER))


_PROCESS_SETTINGS = """
[database]
url = "{url}"

[deadlines]
request = "PT4S"
aws_attempts = 1
settle_grace = "PT0.3S"
second_look = "PT0.3S"
cloudtrail = "PT0S"
sweep_interval = "PT0.2S"

[[registries]]
name = "local"
account_id = "{account}"
region = "{region}"
role = "arn:aws:iam::{account}:role/wharfinger"
broker_role = "arn:aws:iam::{account}:role/wharfinger-broker"
endpoint = "{endpoint}"

[[clusters]]
name = "demo"
"""


@pytest.fixture
def replica(aws: "Sandbox", database_url: str, tmp_path: Path) -> Iterator[ServiceProcess]:
    """A second process on the database of `service`, not started yet."""
    folder = tmp_path / "replica"
    folder.mkdir()
    process = ServiceProcess(folder, process_settings(aws, database_url))
    yield process
    process.stop()


@pytest.fixture
def service(aws: "Sandbox", database_url: str, tmp_path: Path) -> Iterator[ServiceProcess]:
    """The service as a process, not started yet, on a database of its own against the stand-in for AWS."""
    process = ServiceProcess(tmp_path, process_settings(aws, database_url))
    yield process
    process.stop()


def process_settings(aws: "Sandbox", database_url: str) -> str:
    return _PROCESS_SETTINGS.format(
        url=database_url, account=ACCOUNT, region=REGION, endpoint=aws.endpoint(ACCOUNT, REGION)
    )


@pytest_asyncio.fixture
async def secret(make_key: MakeKey) -> str:
    """An admin's key."""
    return await make_key(Role.ADMIN)
