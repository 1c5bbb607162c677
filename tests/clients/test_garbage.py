"""Something on the way to AWS answers 200 with what is no answer."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from service.authz import Role
from service.settings import RegistrySettings, Settings
from tests.conftest import ACCOUNT, REGION, Connect, MakeKey, Serve
from tests.marks import only_sqlite

pytestmark = [pytest.mark.asyncio, only_sqlite]


class Proxy:
    """Answers every request with the same text."""

    def __init__(self) -> None:
        self.says = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(self.says)}\r\n\r\n"
        writer.write(head.encode() + self.says)
        await writer.drain()
        writer.close()


@pytest_asyncio.fixture
async def proxy() -> Proxy:
    return Proxy()


@pytest_asyncio.fixture
async def caller(  # noqa: PLR0917 - each is a fixture
    proxy: Proxy,
    bare_settings: Settings,
    serve: Serve,
    connect: Connect,
    make_key: MakeKey,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[httpx.AsyncClient]:
    """A developer whose registry is behind the proxy."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    behind = RegistrySettings.model_validate(
        {"name": "local", "account_id": ACCOUNT, "region": REGION, "endpoint": endpoint}
    )
    async with server, serve(bare_settings.model_copy(update={"registries": (behind,)})) as app:
        yield connect(app, await make_key(Role.DEVELOPER))


@pytest.mark.parametrize(
    "says", [b"<html>Welcome to the lobby</html>", b"[]", b'"repositories"', b"null", b"{}", b"", b"\xff"]
)
async def test_an_answer_that_is_none_is_no_defect_of_ours(
    proxy: Proxy, caller: httpx.AsyncClient, says: bytes
) -> None:
    proxy.says = says
    read = await caller.get("/v1/repositories")
    changed = await caller.post("/v1/repositories", json={"name": "team/app"})
    policy = await caller.get("/v1/policies/repositories/team/app")
    assert (read.status_code, read.json()["code"]) == (503, "aws_unavailable")
    assert (policy.status_code, policy.json()["code"]) == (503, "aws_unavailable")
    assert (changed.status_code, changed.json()["code"]) == (503, "outcome_unknown")
