"""The sandbox as a whole: it outlives its process, and has bad days on demand."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from sandbox.faults import Kind
from sandbox.server import Sandbox
from tests.conftest import ACCOUNT, REGION
from tests.sandbox.clients import sdk, session_sdk


def _start(folder: Path) -> tuple["subprocess.Popen[str]", dict[str, object]]:
    command = [sys.executable, "-m", "sandbox", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ours
    assert process.stdout
    return process, json.loads(process.stdout.readline())


def _ask(process_facts: dict[str, object], operation: str, **asked: str) -> str:
    endpoint = process_facts["endpoints"][f"{ACCOUNT}/{REGION}"]  # type: ignore[index] # as the process printed it
    keys = process_facts["operators"][ACCOUNT]  # type: ignore[index] # likewise
    code = (
        "import sys, json, botocore.session; s = botocore.session.get_session();"
        f"c = s.create_client('ecr', {REGION!r}, endpoint_url={endpoint!r},"
        f" aws_access_key_id={keys['AWS_ACCESS_KEY_ID']!r}, aws_secret_access_key={keys['AWS_SECRET_ACCESS_KEY']!r});"
        f"print(json.dumps(c.{operation}(**{asked!r}), default=str))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    return done.stdout


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    process, before = _start(tmp_path)
    _ask(before, "create_repository", repositoryName="app")
    process.kill()
    process.communicate()
    process, after = _start(tmp_path)
    try:
        assert after == before
        assert '"repositoryName": "app"' in _ask(after, "describe_repositories")
    finally:
        process.terminate()
        process.communicate()
    assert process.returncode == 0


def test_help_is_no_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sandbox", "--help"]
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(  # noqa: S603 - ours
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert "usage: python -m sandbox" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
async def test_faults_befall_the_next_calls_and_no_more(aws: Sandbox) -> None:
    aws.fault("DescribeRepositories", "throttle")
    aws.fault("DescribeRepositories", "error")
    aws.fault("DescribeRepositories", "reset")
    async with sdk("ecr", aws) as ecr:
        for code in ("ThrottlingException", "ServerException"):
            with pytest.raises(ClientError, match=code):
                await ecr.describe_repositories()
        with pytest.raises(EndpointConnectionError, match="Could not connect"):
            await ecr.describe_repositories()
        assert (await ecr.describe_repositories())["repositories"] == []
    assert [(call.status, call.error) for call in aws.calls()] == [
        (429, "ThrottlingException"),
        (500, "ServerException"),
        (0, None),
        (200, None),
    ]


@pytest.mark.parametrize(("kind", "seen"), [("reset", ConnectionResetError), ("close", type(None))])
def test_a_reset_is_one_and_a_close_is_in_good_order(aws: Sandbox, kind: Kind, seen: type) -> None:
    aws.fault("*", kind)
    host, port = aws.host().split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: aws\r\n\r\n")
        try:
            error, received = None, connection.recv(1)
        except OSError as reset:
            error, received = reset, b""
    assert (type(error), received) == (seen, b"")


@pytest.mark.asyncio
async def test_a_reset_after_acting_has_acted(aws: Sandbox) -> None:
    aws.fault("CreateRepository", "reset", when="after")
    async with sdk("ecr", aws) as ecr:
        with pytest.raises(EndpointConnectionError, match="Could not connect"):
            await ecr.create_repository(repositoryName="app")
        assert len((await ecr.describe_repositories())["repositories"]) == 1


@pytest.mark.asyncio
async def test_a_held_call_acts_when_it_is_released_and_not_when_dropped(aws: Sandbox) -> None:
    async with sdk("ecr", aws) as ecr:
        for name, verb in (("dropped", "drop"), ("released", "release")):
            hold = aws.hold("CreateRepository")
            call = asyncio.create_task(ecr.create_repository(repositoryName=name))
            assert await asyncio.to_thread(hold.reached, 10)
            getattr(hold, verb)()
            await asyncio.wait([call])
            assert (call.exception() is None) == (verb == "release")
        found = (await ecr.describe_repositories())["repositories"]
    assert [one["repositoryName"] for one in found] == ["released"]


@pytest.mark.asyncio
async def test_another_process_holds_a_call_over_http(aws: Sandbox) -> None:
    async with httpx.AsyncClient(base_url=aws.endpoint(ACCOUNT, REGION)) as controls, sdk("ecr", aws) as ecr:
        asked = {"operation": "CreateRepository", "kind": "hold", "when": "after"}
        fault = (await controls.post("/_sandbox/faults", json=asked)).json()["id"]
        call = asyncio.create_task(ecr.create_repository(repositoryName="app"))
        reached = await controls.get(f"/_sandbox/faults/{fault}?wait=10")
        assert reached.json() == {"is_reached": True}
        assert not call.done()
        await controls.post(f"/_sandbox/faults/{fault}/release")
        await call
        [logged] = (await controls.get("/_sandbox/calls")).json()
    assert (logged["operation"], logged["principal"]) == ("CreateRepository", f"arn:aws:iam::{ACCOUNT}:user/operator")
    assert logged["parameters"] == {"repositoryName": "app"}


@pytest.mark.asyncio
async def test_what_is_vended_expires_when_the_clock_is_put_forward(aws: Sandbox) -> None:
    username, password = aws.docker_login()
    async with sdk("sts", aws) as sts:
        role = f"arn:aws:iam::{ACCOUNT}:role/{await _trusting(aws)}"
        session = (await sts.assume_role(RoleArn=role, RoleSessionName="me"))["Credentials"]
    async with (
        httpx.AsyncClient(base_url=aws.endpoint(ACCOUNT, REGION), auth=(username, password)) as registry,
        session_sdk("sts", aws, session) as sts,
    ):
        before = datetime.fromisoformat((await registry.get("/_sandbox/clock")).json()["now"])
        after = datetime.fromisoformat((await registry.post("/_sandbox/clock", json={"seconds": 3601})).json()["now"])
        assert after - before >= timedelta(hours=1)
        with pytest.raises(ClientError, match="ExpiredToken"):
            await sts.get_caller_identity()
        assert (await registry.get("/v2/")).status_code == 200
        aws.advance(timedelta(hours=11))
        assert "expired" in (await registry.get("/v2/")).json()["errors"][0]["message"]
        for wrong in ({"seconds": -1}, {"seconds": "x"}, {}, [1]):
            assert (await registry.post("/_sandbox/clock", json=wrong)).status_code == 400


async def _trusting(aws: Sandbox) -> str:
    """A role that everyone of the account may assume."""
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    async with sdk("iam", aws) as iam:
        await iam.create_role(RoleName="trusting", AssumeRolePolicyDocument=document)
    return "trusting"
