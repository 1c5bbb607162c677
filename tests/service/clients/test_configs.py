"""Where configs of images are downloaded: by one client for the process, which is told nothing and keeps nothing."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from service.base.errors import AwsUnavailableError
from service.clients.oci.configs import Configs

pytestmark = pytest.mark.asyncio

CONFIG = b'{"os": "linux", "architecture": "arm64"}'


@dataclass
class Host:
    """Answers each request with what is next of its script, and keeps connections open."""

    port: int = 0
    connections: int = 0
    script: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)
    """Status, a header, and the content."""
    heads: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self.script:
                self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
                status, header, content = self.script.pop(0)
                writer.write(b"HTTP/1.1 %s\r\n%s\r\nContent-Length: %d\r\n\r\n" % (status, header, len(content)))
                writer.write(content)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/blob"


@pytest_asyncio.fixture
async def host() -> AsyncIterator[Host]:
    made = Host()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


@pytest_asyncio.fixture
async def configs() -> AsyncIterator[Configs]:
    opened = Configs()
    yield opened
    await opened.close()


async def test_configs_are_read_over_one_connection_and_no_cookie_is_taken_along(configs: Configs, host: Host) -> None:
    host.script = [(b"200 OK", b"Set-Cookie: session=secret; Path=/", CONFIG), (b"200 OK", b"X: y", CONFIG)]
    read = [await configs.read(host.url), await configs.read(host.url)]
    assert read == [{"os": "linux", "architecture": "arm64"}] * 2
    assert host.connections == 1
    assert not [head for head in host.heads if "cookie:" in head or "authorization:" in head]


async def test_what_is_too_much_or_no_json_is_none(configs: Configs, host: Host) -> None:
    host.script = [(b"200 OK", b"X: y", b'"' + b"x" * 5_000_000 + b'"')]
    assert await configs.read(host.url) is None
    host.script = [(b"200 OK", b"X: y", b"<html>")]
    assert await configs.read(host.url) is None


@pytest.mark.parametrize("status", [b"302 Found", b"404 Not Found", b"500 Oops"])
async def test_another_answer_is_none_and_a_redirect_is_not_followed(
    configs: Configs, host: Host, status: bytes
) -> None:
    host.script = [(status, b"Location: /blob", b""), (b"200 OK", b"X: y", CONFIG)]
    with pytest.raises(AwsUnavailableError):
        await configs.read(host.url)
    assert len(host.heads) == 1


async def test_what_is_no_address_is_no_defect_of_ours(configs: Configs) -> None:
    with pytest.raises(AwsUnavailableError):
        await configs.read("http://[")
