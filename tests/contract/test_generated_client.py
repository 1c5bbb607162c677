"""A client generated from `openapi.yaml`, against the service as a process."""

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from sandbox.server import Sandbox
from tests.conftest import ACCOUNT, REGION
from tests.images import publish
from tests.marks import only_sqlite
from tests.service_process import ServiceProcess

_CONTRACT = Path(__file__).parents[2] / "openapi.yaml"
_PACKAGE = "wharfinger_client"

Generated = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Generated]:
    """The generated package: imports its modules by name."""
    folder, tools = tmp_path_factory.mktemp("generated"), Path(sys.executable).parent
    # As it comes: what a linter's fixes make of it, its own types do not allow.
    config = folder / "config.yaml"
    config.write_text("post_hooks: []\n")
    command = [str(tools / "openapi-python-client"), "generate", "--path", str(_CONTRACT), "--meta", "none"]
    command += ["--config", str(config), "--output-path", str(folder / _PACKAGE), "--fail-on-warning"]
    done = subprocess.run(  # noqa: S603 - a tool of ours
        command,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield lambda name: importlib.import_module(f"{_PACKAGE}.{name}")


def test_a_generated_client_is_typed_strictly(generated: Generated, tmp_path: Path) -> None:
    package = Path(str(generated("models").__file__)).parents[1]
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path}", str(package)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a tool of ours
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_generated_client_has_names_that_can_be_borne(generated: Generated) -> None:
    models = generated("models")
    assert {"Action", "Check", "DeploymentEvent", "DockerConfig", "PreflightCheck", "ProblemCode"} <= set(
        models.__all__
    )
    assert not [name for name in models.__all__ if "Type0" in name or "Response" in name]


@only_sqlite
@pytest.mark.asyncio
async def test_a_generated_client_does_the_main_job(
    generated: Generated, service: ServiceProcess, secret: str, aws: Sandbox
) -> None:
    service.start()
    models = generated("models")
    create = generated("api.repositories.create_repository")
    vend = generated("api.tokens.vend_token")
    search = generated("api.audit.search_audit")
    client = generated("client").AuthenticatedClient(base_url=service.url, token=secret)
    async with client:
        wanted = models.RepositoryCreate(name="team/app", tag_mutability=models.Mutability.IMMUTABLE)
        made = await create.asyncio_detailed(client=client, body=wanted, idempotency_key="build-1")
        again = await create.asyncio_detailed(client=client, body=wanted, idempotency_key="build-1")
        taken = await create.asyncio(client=client, body=wanted)
        asked = models.TokenRequest(repositories=["team/app"], actions=[models.TokenAction.PULL])
        token = await vend.asyncio(client=client, body=asked)
        trail = await search.asyncio(client=client, action=models.Action.REPOSITORY_CREATE)

    assert made.parsed.uri == f"{aws.host(ACCOUNT, REGION)}/team/app"
    assert (again.parsed, again.headers["Idempotency-Replayed"]) == (made.parsed, "true")
    assert isinstance(taken, models.Problem)
    assert (taken.status, taken.code) == (409, "repository_exists")
    assert (token.username, token.repositories) == ("AWS", ["team/app"])
    assert [entry.status for entry in trail.items] == ["failed", "replayed", "succeeded"]


@only_sqlite
@pytest.mark.asyncio
async def test_a_generated_client_deploys(
    generated: Generated, service: ServiceProcess, secret: str, aws: Sandbox
) -> None:
    await publish(aws, "team/app", "1")
    service.start()
    models = generated("models")
    deploy = generated("api.deployments.create_deployment")
    get = generated("api.deployments.get_deployment")
    client = generated("client").AuthenticatedClient(base_url=service.url, token=secret, timeout=30)
    async with client:
        wanted = models.DeploymentCreate(cluster="demo", name="app", image="team/app:1", port=8080, replicas=2)
        made = await deploy.asyncio(client=client, body=wanted, wait=20)
        found = await get.asyncio(made.id, client=client)
        missing = models.DeploymentCreate(cluster="demo", name="app", image="team/app:2", port=8080)
        refused = await deploy.asyncio(client=client, body=missing)

    assert (found.status, found.urls) == (models.DeploymentStatus.SUCCEEDED, made.urls)
    assert made.urls[0].startswith("http://")
    assert isinstance(refused, models.Problem)
    assert (refused.status, refused.code) == (404, "image_not_found")
