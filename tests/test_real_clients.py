"""Real container clients with credentials that the service vended, over TCP."""

import asyncio
import json
import os
import subprocess
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from sandbox.server import Sandbox
from sandbox.story.image_writer import sample_app_image, write_layout
from tests.conftest import ACCOUNT, REGION
from tests.marks import only_sqlite

pytestmark = [pytest.mark.asyncio, pytest.mark.needs("skopeo"), only_sqlite]

_PLAIN_HTTP = ("--src-tls-verify=false", "--dest-tls-verify=false")


@pytest_asyncio.fixture
async def repository(admin: httpx.AsyncClient) -> str:
    """The URI of `team/app`, beside an `other/app`."""
    for name in ("team/app", "other/app"):
        (await admin.post("/v1/repositories", json={"name": name})).raise_for_status()
    uri = await admin.get("/v1/repositories/team/app", headers={"Accept": "text/plain"})
    return uri.text.strip()


@pytest.fixture
def layout(tmp_path: Path) -> str:
    """The sample app's image as an OCI layout on disk, as skopeo names it."""
    write_layout(sample_app_image("0.0.1", "slim"), tmp_path / "layout", tag="0.0.1")
    return f"oci:{tmp_path / 'layout'}:0.0.1"


async def test_skopeo_logs_in_pushes_and_pulls(
    admin: httpx.AsyncClient, repository: str, layout: str, tmp_path: Path
) -> None:
    login = await _login(admin, tmp_path, ["team/app"], ["pull", "push"])
    await _done("copy", *_PLAIN_HTTP, "--authfile", login, layout, f"docker://{repository}:0.0.1")
    await _done("copy", *_PLAIN_HTTP, "--authfile", login, f"docker://{repository}:0.0.1", f"dir:{tmp_path / 'pulled'}")

    image = (await admin.get("/v1/images/team/app:0.0.1")).json()
    pulled = json.loads((tmp_path / "pulled" / "manifest.json").read_text())
    assert [layer["digest"] for layer in image["layers"]] == [layer["digest"] for layer in pulled["layers"]]


async def test_the_bare_password_is_what_login_reads(admin: httpx.AsyncClient, repository: str, tmp_path: Path) -> None:
    asked = {"repositories": ["team/app"], "actions": ["pull"]}
    password = await admin.post("/v1/tokens", json=asked, headers={"Accept": "text/plain"})
    host, file = repository.partition("/")[0], str(tmp_path / "auth.json")
    login = ("login", "--tls-verify=false", "--authfile", file, "-u", "AWS", "--password-stdin", host)
    status, output = await _skopeo(*login, stdin=password.content)
    assert (status, "Login Succeeded!" in output) == (0, True)


async def test_a_credential_for_another_repository_is_denied(
    admin: httpx.AsyncClient, repository: str, layout: str, tmp_path: Path
) -> None:
    login = await _login(admin, tmp_path, ["other/app"], ["pull", "push"])
    await _denied("copy", *_PLAIN_HTTP, "--authfile", login, layout, f"docker://{repository}:0.0.1")


async def test_a_pull_credential_can_not_push(
    admin: httpx.AsyncClient, repository: str, layout: str, tmp_path: Path
) -> None:
    login = await _login(admin, tmp_path, ["team/app"], ["pull"])
    await _denied("copy", *_PLAIN_HTTP, "--authfile", login, layout, f"docker://{repository}:0.0.1")


async def test_a_push_credential_sees_what_is_there_already(
    admin: httpx.AsyncClient, repository: str, layout: str, tmp_path: Path
) -> None:
    login = await _login(admin, tmp_path, ["team/app"], ["push"])
    copy = ("copy", "--dest-tls-verify=false", "--authfile", login, layout, f"docker://{repository}:0.0.1")
    await _done(*copy)
    await _done("inspect", "--raw", "--tls-verify=false", "--authfile", login, f"docker://{repository}:0.0.1")
    await _done(*copy)


async def test_a_pull_credential_lists_tags(
    admin: httpx.AsyncClient, repository: str, layout: str, tmp_path: Path
) -> None:
    login = await _login(admin, tmp_path, ["team/*"], ["pull", "push"])
    await _done("copy", *_PLAIN_HTTP, "--authfile", login, layout, f"docker://{repository}:0.0.1")
    login = await _login(admin, tmp_path, ["team/app"], ["pull"])

    status, output = await _skopeo("list-tags", "--tls-verify=false", "--authfile", login, f"docker://{repository}")

    assert status == 0, output
    assert json.loads(output)["Tags"] == ["0.0.1"]


async def test_another_account_is_denied_until_a_policy_lets_it_in(
    admin: httpx.AsyncClient, aws: Sandbox, repository: str, layout: str
) -> None:
    username, password = aws.docker_login("222222222222", REGION)
    push = ("copy", *_PLAIN_HTTP, "--dest-creds", f"{username}:{password}", layout, f"docker://{repository}:outside")
    await _denied(*push)
    template = await admin.get("/v1/policy-templates/cross-account-push?account=222222222222")
    (await admin.put("/v1/policies/repositories/team/app", content=template.content)).raise_for_status()
    await _done(*push)
    listed = (await admin.get("/v1/images?repository=team/app")).json()["items"]
    assert [image["tags"] for image in listed] == [["outside"]]


@pytest.mark.needs("aws")
async def test_the_aws_command_line_sees_what_was_made(aws: Sandbox, repository: str) -> None:
    operator = aws.credentials()
    environment = {
        "AWS_ACCESS_KEY_ID": operator.access_key,
        "AWS_SECRET_ACCESS_KEY": operator.secret_key,
        "AWS_DEFAULT_REGION": REGION,
    }
    endpoint = aws.endpoint(ACCOUNT, REGION)
    asked = ("ecr", "describe-repositories", "--output", "json", "--endpoint-url", endpoint)
    status, output = await _run("aws", *asked, environment=environment)
    assert status == 0, output
    assert {one["repositoryUri"] for one in json.loads(output)["repositories"]} >= {repository}


async def _login(admin: httpx.AsyncClient, folder: Path, repositories: list[str], actions: list[str]) -> str:
    """A docker `config.json` with a credential, as the service gives it."""
    asked = {"repositories": repositories, "actions": actions}
    config = await admin.post("/v1/tokens", json=asked, headers={"Accept": "application/vnd.docker.config+json"})
    file = folder / "config.json"
    file.write_bytes(config.raise_for_status().content)
    return str(file)


async def _done(*arguments: str) -> None:
    status, output = await _skopeo(*arguments)
    assert status == 0, output


async def _denied(*arguments: str) -> None:
    status, output = await _skopeo(*arguments)
    assert status != 0
    # A refused HEAD has no body to quote, so skopeo names the status.
    assert "403 (Forbidden)" in output or "is not authorized to perform" in output, output


async def _skopeo(*arguments: str, stdin: bytes | None = None) -> tuple[int, str]:
    return await _run("skopeo", "--insecure-policy", *arguments, stdin=stdin)


async def _run(*command: str, stdin: bytes | None = None, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Run a client; gives its status and all that it says."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | (environment or {}),
    )
    output, _ = await process.communicate(stdin)
    assert process.returncode is not None
    return process.returncode, output.decode()
