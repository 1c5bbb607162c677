"""References as wharfinger and docker print them are taken wherever an image is named."""

from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio

from sandbox.server import Sandbox
from service.models.references import Reference
from tests.conftest import ACCOUNT, REGION, SECOND_REGION
from tests.images import image, publish, push_image
from tests.marks import only_sqlite

NOWHERE = "999999999999.dkr.ecr.eu-central-1.amazonaws.com"
WORKLOAD = {"cluster": "demo", "name": "app", "port": 8080}
DIGEST = "sha256:" + "0" * 64


@dataclass(frozen=True, slots=True)
class Pushed:
    """Two images of `team/app`, by the tags 1 and 2."""

    host: str
    first: str
    second: str

    def forms(self) -> list[str]:
        """Each way to name the first."""
        names = [f"team/app:1@{self.first}", f"team/app@{self.first}", "team/app:1"]
        return [*names, *(f"{self.host}/{name}" for name in names)]


@pytest_asyncio.fixture
async def pushed(aws: Sandbox) -> Pushed:
    await publish(aws, "team/app")
    first, second = [await push_image(aws, "team/app", tag, image(tag)) for tag in ("1", "2")]
    return Pushed(aws.host(ACCOUNT, REGION), first, second)


@only_sqlite
@pytest.mark.asyncio
async def test_an_image_is_found_by_each_form(admin: httpx.AsyncClient, pushed: Pushed) -> None:
    for form in pushed.forms():
        answer = await admin.get(f"/v1/images/{form}")
        assert (answer.status_code, answer.json()["digest"]) == (200, pushed.first), form
    assert (await admin.get(f"/v1/images/{answer.json()['uri']}")).status_code == 200


@only_sqlite
@pytest.mark.asyncio
async def test_a_tag_is_moved_by_each_form(admin: httpx.AsyncClient, pushed: Pushed) -> None:
    for form in pushed.forms():
        answer = await admin.put("/v1/images/team/app:copy", json={"source": form})
        assert (answer.status_code, answer.json()["digest"]) == (200, pushed.first), form
    moved = await admin.put(
        f"/v1/images/{pushed.host}/team/app:copy@{pushed.first}", json={"source": f"{pushed.host}/team/app:2"}
    )
    assert moved.json()["digest"] == pushed.second
    refused = await admin.put(f"/v1/images/team/app:copy@{pushed.first}", json={"source": "1"})
    assert (refused.status_code, refused.json()["code"]) == (409, "image_tag_moved")


@only_sqlite
@pytest.mark.asyncio
async def test_an_image_is_deleted_by_what_its_digest_says(admin: httpx.AsyncClient, pushed: Pushed) -> None:
    refused = await admin.delete(f"/v1/images/team/app:2@{pushed.first}")
    assert (refused.status_code, refused.json()["code"]) == (409, "image_tag_moved")
    assert (await admin.delete(f"/v1/images/{pushed.host}/team/app:1@{pushed.first}")).status_code == 204
    assert (await admin.get("/v1/images/team/app:1")).status_code == 404
    assert (await admin.get("/v1/images/team/app:2")).status_code == 200


@only_sqlite
@pytest.mark.asyncio
async def test_each_form_is_deployed(admin: httpx.AsyncClient, pushed: Pushed) -> None:
    for form in pushed.forms():
        answer = await admin.post("/v1/deployments", params={"dry_run": "true"}, json=WORKLOAD | {"image": form})
        assert answer.json().get("image_uri") == f"{pushed.host}/team/app@{pushed.first}", answer.text
    printed = f"{pushed.host}/team/app:1@{pushed.first}"
    made = await admin.post("/v1/deployments", params={"wait": "20"}, json=WORKLOAD | {"image": printed})
    assert (made.status_code, made.json()["digest"]) == (200, pushed.first)
    moved = await admin.post("/v1/deployments", json=WORKLOAD | {"image": f"team/app:2@{pushed.first}"})
    assert (moved.status_code, moved.json()["code"]) == (409, "image_tag_moved")


@only_sqlite
@pytest.mark.asyncio
async def test_a_preflight_takes_each_form(admin: httpx.AsyncClient, pushed: Pushed) -> None:
    for form in pushed.forms():
        answer = await admin.get("/v1/clusters/demo/preflight", params={"image": form})
        assert answer.json()["verdict"] == "ok", answer.text
    moved = await admin.get("/v1/clusters/demo/preflight", params={"image": f"team/app:2@{pushed.first}"})
    [platforms] = [one for one in moved.json()["checks"] if one["name"] == "platforms"]
    assert platforms["verdict"] == "failed"
    assert "does not stand for" in platforms["detail"]


@only_sqlite
@pytest.mark.asyncio
async def test_another_host_is_another_registry(admin: httpx.AsyncClient, pushed: Pushed, aws: Sandbox) -> None:
    for host in (NOWHERE, aws.host(ACCOUNT, SECOND_REGION)):
        answer = await admin.get(f"/v1/images/{host}/team/app:1")
        assert (answer.status_code, answer.json()["code"]) == (404, "image_not_found")
        assert f"The host of registry local is {pushed.host}." in answer.json()["detail"]
        deployed = await admin.post("/v1/deployments", json=WORKLOAD | {"image": f"{host}/team/app:1"})
        assert (deployed.status_code, deployed.json()["code"]) == (404, "image_not_found")
        deleted = await admin.delete(f"/v1/images/{host}/team/app:1")
        assert (deleted.status_code, deleted.json()["code"]) == (404, "image_not_found")
    assert (await admin.get("/v1/images/team/app:1")).status_code == 200


@pytest.mark.parametrize(
    "text",
    [
        "team/app:1",
        f"team/app@{DIGEST}",
        f"team/app:1@{DIGEST}",
        "127.0.0.1:5000/team/app:1",
        f"{NOWHERE}/app:1@{DIGEST}",
        "111111111111.dkr-ecr.eu-central-1.on.aws/team/app:1",
        "my.team/app:1",
    ],
)
def test_a_reference_reads_back_as_it_was_written(text: str) -> None:
    assert str(Reference.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "host"),
    [("my.team/app:1", None), ("localhost/app:1", None), ("localhost:5000/app:1", "localhost:5000")],
)
def test_the_first_part_of_a_name_is_no_host_for_its_dots(text: str, host: str | None) -> None:
    assert Reference.parse(text).host == host


@pytest.mark.parametrize(
    "text", ["", "team/app", "team/app:", f"team/app:@{DIGEST}", "team/app:1@", "host:1/x", f"{NOWHERE}/team/app"]
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"tag|digest|name"):
        Reference.parse(text)
