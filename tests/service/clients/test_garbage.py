"""Something on the way to AWS answers 200 with what is no answer, or half of one."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from service.access.actions import Role
from service.base.settings import RegistrySettings, Settings
from tests.conftest import ACCOUNT, REGION, Connect, MakeKey, Serve
from tests.marks import only_sqlite

pytestmark = [pytest.mark.asyncio, only_sqlite]


class Proxy:
    """Answers every request with the same text, but those of the operations that have one of their own."""

    def __init__(self) -> None:
        self.says = b""
        self.says_to: dict[str, bytes] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = (await reader.readuntil(b"\r\n\r\n")).decode()
        target = re.search(r"X-Amz-Target: \w+\.(\w+)", asked, re.IGNORECASE)
        says = self.says_to.get(target[1], self.says) if target else self.says
        head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(says)}\r\n\r\n"
        writer.write(head.encode() + says)
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
    """An admin whose registry is behind the proxy."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    behind = RegistrySettings.model_validate(
        {"name": "local", "account_id": ACCOUNT, "region": REGION, "endpoint": endpoint}
    )
    async with server, serve(bare_settings.model_copy(update={"registries": (behind,)})) as app:
        yield connect(app, await make_key(Role.ADMIN))


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


REPOSITORY = {
    "repositoryName": "team/app",
    "repositoryArn": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/team/app",
    "repositoryUri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/team/app",
    "createdAt": 1700000000.0,
    "imageTagMutability": "MUTABLE",
}
DIGEST = f"sha256:{'0' * 64}"
WHOLE = {
    "DescribeRepositories": {"repositories": [REPOSITORY]},
    "ListTagsForResource": {"tags": [{"Key": "team", "Value": "a"}]},
    "GetRepositoryPolicy": {"policyText": "{}"},
}
"""Answers that nothing is wrong with."""
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "ecr:BatchGetImage"}],
}


def _but(**wrong: object) -> dict[str, Any]:
    return {"repositories": [REPOSITORY | wrong]}


HALF_READ: list[tuple[str, str, object]] = [
    ("/v1/repositories", "DescribeRepositories", {"repositories": [{}]}),
    ("/v1/repositories", "DescribeRepositories", {"repositories": {"a": 1}}),
    ("/v1/repositories", "DescribeRepositories", {"repositories": ["team/app"]}),
    ("/v1/repositories", "DescribeRepositories", {"repositories": None}),
    ("/v1/repositories", "DescribeRepositories", _but(createdAt="yesterday")),
    ("/v1/repositories", "DescribeRepositories", _but(imageTagMutability="PERHAPS")),
    ("/v1/repositories", "DescribeRepositories", _but(repositoryName=7)),
    ("/v1/repositories", "DescribeRepositories", _but(encryptionConfiguration="AES256")),
    ("/v1/repositories/team/app", "DescribeRepositories", {"repositories": []}),
    ("/v1/repositories/team/app", "ListTagsForResource", {"tags": [{"Key": "team"}]}),
    ("/v1/repositories/team/app", "ListTagsForResource", {"tags": [{"Key": "team", "Value": 5}]}),
    ("/v1/images?repository=team/app", "DescribeImages", {"imageDetails": [{}]}),
    ("/v1/images/team/app:1", "DescribeImages", {"imageDetails": []}),
    ("/v1/policies/repositories/team/app", "GetRepositoryPolicy", {"policyText": "[]"}),
    ("/v1/policies/repositories/team/app", "GetRepositoryPolicy", {"policyText": 5}),
    ("/v1/policies/repositories/team/app", "GetRepositoryPolicy", {"registryId": ACCOUNT}),
]


@pytest.mark.parametrize(("path", "operation", "says"), HALF_READ)
async def test_half_an_answer_to_a_read_is_none(
    proxy: Proxy, caller: httpx.AsyncClient, path: str, operation: str, says: object
) -> None:
    proxy.says_to = {name: json.dumps(one).encode() for name, one in (WHOLE | {operation: says}).items()}
    answer = await caller.get(path)
    assert (answer.status_code, answer.json()["code"]) == (503, "aws_unavailable"), answer.text


HALF_CHANGE: list[tuple[str, str, object, str, object]] = [
    ("POST", "/v1/repositories", {"name": "team/app"}, "CreateRepository", {"repository": {}}),
    ("POST", "/v1/repositories", {"name": "team/app"}, "CreateRepository", {"repository": "team/app"}),
    ("PUT", "/v1/policies/repositories/team/app", POLICY, "SetRepositoryPolicy", {"policyText": "<html>"}),
    ("PUT", "/v1/policies/repositories/team/app", POLICY, "SetRepositoryPolicy", {"policyText": "[]"}),
    ("PUT", "/v1/policies/repositories/team/app", POLICY, "SetRepositoryPolicy", {"registryId": ACCOUNT}),
    ("DELETE", f"/v1/images/team/app@{DIGEST}", None, "BatchDeleteImage", {"imageIds": []}),
    ("DELETE", f"/v1/images/team/app@{DIGEST}", None, "BatchDeleteImage", {"failures": "none"}),
    ("DELETE", "/v1/repositories/team/app", None, "DeleteRepository", {"repository": {"createdAt": "now"}}),
    (
        "POST",
        "/v1/tokens",
        {"actions": ["pull"], "scope": "registry"},
        "GetAuthorizationToken",
        {"authorizationData": [{"authorizationToken": "?", "expiresAt": 1700000000.0, "proxyEndpoint": 5}]},
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "operation", "says"), HALF_CHANGE)
async def test_half_an_answer_to_a_change_leaves_open_whether_it_was_made(  # noqa: PLR0917 - a table's columns
    proxy: Proxy, caller: httpx.AsyncClient, method: str, path: str, body: object, operation: str, says: object
) -> None:
    details = {"imageDetails": [{"repositoryName": "team/app", "imageDigest": DIGEST}]}
    proxy.says_to = {
        name: json.dumps(one).encode() for name, one in (WHOLE | {"DescribeImages": details, operation: says}).items()
    }
    answer = await caller.request(method, path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (503, "outcome_unknown"), answer.text
    [row] = (await caller.get("/v1/audit", params={"status": "pending"})).json()["items"]
    assert row["id"] in answer.json()["detail"]
