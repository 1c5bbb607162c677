"""Connections that send too much, too slowly, or nothing: of a real process, over plain sockets."""

import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from sandbox.server import Sandbox
from tests.conftest import process_settings
from tests.marks import only_sqlite
from tests.service_process import ServiceProcess

pytestmark = only_sqlite
_SECONDS = 20.0
"""In which something must end that would never end by itself."""


@pytest.fixture
def service(aws: Sandbox, database_url: str, tmp_path: Path) -> Iterator[ServiceProcess]:
    """A process that waits for a second for headers, and for the next request of a connection."""
    limits = '[deadlines]\nheaders = "PT1S"\nidle = "PT1S"'
    process = ServiceProcess(tmp_path, process_settings(aws, database_url).replace("[deadlines]", limits))
    process.start()
    yield process
    process.stop()


def connect(service: ServiceProcess) -> socket.socket:
    at = urlsplit(service.url)
    return socket.create_connection((at.hostname, at.port or 0), _SECONDS)


def read_all(connection: socket.socket) -> bytes:
    """Until the other side ends it."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def problem_of(answer: bytes) -> tuple[bytes, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head
    return head.split()[1], json.loads(body)["code"]


@pytest.mark.parametrize("piece", [1000, 40_000], ids=["in pieces", "at once"])
@pytest.mark.parametrize("part", [b"GET /healthz HTTP/1.1\r\nX-Large: ", b"GET /"], ids=["header", "path"])
def test_headers_are_refused_past_32_kib_before_the_rest_is_read(
    service: ServiceProcess, part: bytes, piece: int
) -> None:
    with closing(connect(service)) as connection:
        connection.sendall(part)
        # In pieces no more than are read: what is left behind would make a reset of the end.
        for _ in range(-(-33_000 // piece)):
            connection.sendall(b"x" * piece)
        answer = read_all(connection)
    assert problem_of(answer) == (b"431", "headers_too_large")


def test_headers_below_the_limit_are_read(service: ServiceProcess) -> None:
    large = {"X-Large": "x" * 30_000}
    with httpx.Client() as client:
        answers = [client.get(f"{service.url}/healthz", headers=large) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]


def test_a_body_is_not_counted_as_headers(service: ServiceProcess, secret: str) -> None:
    document = {"name": "team/app", "tags": {"k": "x" * 200_000}}
    with httpx.Client(headers={"Authorization": f"Bearer {secret}"}) as client:
        answers = [client.post(f"{service.url}/v1/repositories", json=document) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [422, 422, 422]


def test_headers_that_come_too_slowly_are_not_waited_for(service: ServiceProcess) -> None:
    with closing(connect(service)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: ")
        assert problem_of(read_all(connection)) == (b"408", "request_timeout")


def test_what_is_no_http_is_told_so_as_a_problem(service: ServiceProcess) -> None:
    with closing(connect(service)) as connection:
        connection.sendall(b"EHLO wharfinger.test\r\n\r\n")
        assert problem_of(read_all(connection)) == (b"400", "malformed_request")


def test_what_is_no_http_has_one_answer(service: ServiceProcess) -> None:
    with closing(connect(service)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX-Null: \0" + b"x" * 40_000)
        answer = read_all(connection)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert problem_of(answer) == (b"400", "malformed_request")


def test_a_trailer_is_no_header(service: ServiceProcess, secret: str) -> None:
    key = f"Authorization: Bearer {secret}\r\n"
    head = "GET /v1/keys HTTP/1.1\r\nHost: wharfinger.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
    answers = []
    for request in (f"{head}{key}\r\n0\r\n\r\n", f"{head}\r\n0\r\n{key}\r\n"):
        with closing(connect(service)) as connection:
            connection.sendall(request.encode())
            answers.append(read_all(connection).split()[1])
    assert answers == [b"200", b"401"]


@pytest.mark.parametrize("part", [b"0\r\nX-Large: ", b"1;large="], ids=["trailer", "chunk extension"])
def test_what_comes_beside_a_body_has_an_end(service: ServiceProcess, secret: str, part: bytes) -> None:
    head = f"POST /v1/repositories HTTP/1.1\r\nAuthorization: Bearer {secret}\r\nTransfer-Encoding: chunked\r\n\r\n"
    with closing(connect(service)) as connection:
        connection.sendall(head.encode() + part + b"x" * 80_000)
        assert read_all(connection) == b""


def test_a_body_that_an_upgrade_would_hide_is_refused(service: ServiceProcess, secret: str) -> None:
    asked = "Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Type: application/json\r\nContent-Length: 19"
    head = f"POST /v1/repositories HTTP/1.1\r\nAuthorization: Bearer {secret}\r\n{asked}\r\n\r\n"
    with closing(connect(service)) as connection:
        connection.sendall(head.encode() + b'{"name":"team/app"}')
        assert problem_of(read_all(connection)) == (b"400", "malformed_request")


def test_an_upgrade_that_is_not_known_is_passed_over(service: ServiceProcess) -> None:
    with closing(connect(service)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("before", [b"", b"GET /healthz HTTP/1.1\r\nHost: wharfinger.test\r\n\r\n"])
def test_a_connection_that_sends_nothing_more_ends(service: ServiceProcess, before: bytes) -> None:
    with closing(connect(service)) as connection:
        connection.sendall(before)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 200 " if before else b"")


def test_a_process_at_its_file_limit_recovers(service: ServiceProcess) -> None:
    most = 100
    resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (most, most))
    with ExitStack() as stack:
        for _ in range(most):
            stack.enter_context(closing(connect(service)))
        ends = time.monotonic() + _SECONDS
        while not is_alive(service):
            assert time.monotonic() < ends, service.log()


def is_alive(service: ServiceProcess) -> bool:
    try:
        return httpx.get(f"{service.url}/readyz", timeout=1).is_success
    except httpx.TransportError:
        return False
