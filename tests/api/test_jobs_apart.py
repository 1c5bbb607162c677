"""Replicas that serve and replicas that work, apart: what the one accepts the other does."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from starlette.types import ASGIApp

from sandbox.server import Sandbox
from service.base.settings import JobSettings, JobsWork, Settings
from tests.api.deploying import BODY
from tests.api.test_problems import problem
from tests.conftest import Connect, MakeKey, Serve
from tests.images import publish
from tests.marks import only_sqlite

pytestmark = [pytest.mark.asyncio, only_sqlite]


def _set(settings: Settings, work: JobsWork) -> Settings:
    return settings.model_copy(update={"jobs": JobSettings(work=work)})


@pytest_asyncio.fixture
async def working(bare_settings: Settings, serve: Serve) -> AsyncIterator[ASGIApp]:
    async with serve(_set(bare_settings, JobsWork.ONLY)) as app:
        yield app


async def test_a_job_that_a_replica_without_jobs_accepts_waits_until_another_works(
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey, aws: Sandbox
) -> None:
    await publish(aws, "myapp", "1")
    secret = await make_key("admin")
    async with serve(_set(settings, JobsWork.NO)) as serving:
        client = connect(serving, secret)
        made = await client.post("/v1/deployments", json=BODY)
        assert made.status_code == 202, made.text
        job = (await client.get(f"/v1/jobs/{made.json()['id']}")).json()
        assert (job["state"], job["attempts"]) == ("waiting", 0)
        async with serve(_set(settings, JobsWork.ONLY)):
            over = await client.get(made.headers["location"], params={"wait": "30"})
    assert (over.status_code, over.json().get("status")) == (200, "succeeded"), over.text


async def test_a_replica_that_works_alone_answers_the_platform(working: ASGIApp, connect: Connect) -> None:
    client = connect(working)
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert (await client.get("/readyz")).json() == {"status": "ready"}
    assert "wharfinger_jobs_waiting_seconds" in (await client.get("/metrics")).text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/repositories/team/app"),
        ("DELETE", "/v1/repositories/team/app"),
        ("POST", "/v1/deployments"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("GET", "/"),
    ],
)
async def test_a_replica_that_works_alone_sends_all_else_to_those_that_serve(
    working: ASGIApp, connect: Connect, make_key: MakeKey, method: str, path: str
) -> None:
    answer = await connect(working, await make_key("admin")).request(method, path)
    assert problem(answer, 503, "not_serving")["retryable"]


async def test_the_head_of_what_it_does_not_serve_says_so_too(working: ASGIApp, connect: Connect) -> None:
    answer: httpx.Response = await connect(working).head("/v1/repositories/team/app")
    assert (answer.status_code, answer.content) == (503, b"")
