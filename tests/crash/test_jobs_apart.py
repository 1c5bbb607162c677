"""`wharfinger serve --jobs`: processes that serve, and processes that work on what those accept."""

import pytest

from sandbox.server import Sandbox
from tests.api.deploying import BODY
from tests.images import publish
from tests.marks import only_postgresql
from tests.service_process import ServiceProcess


@only_postgresql
@pytest.mark.asyncio
async def test_what_a_process_without_jobs_accepts_is_done_by_one_that_works_alone(
    service: ServiceProcess, replica: ServiceProcess, secret: str, aws: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish(aws, "myapp", "1")
    monkeypatch.setenv("WHARFINGER__JOBS__WORK", "no")
    service.start()
    replica.start("--jobs", "only")  # the option wins over the variable
    async with service.client(secret) as serving, replica.client(secret) as working:
        over = await serving.post("/v1/deployments", json=BODY, params={"wait": "25"})
        refused = await working.get("/v1/deployments")
    assert (over.status_code, over.json().get("status")) == (200, "succeeded"), over.text
    assert (refused.status_code, refused.json()["code"]) == (503, "not_serving")
    assert '"event": "job_claimed"' in replica.log()
    assert "job_claimed" not in service.log()
