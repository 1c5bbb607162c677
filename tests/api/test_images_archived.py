"""Archived images over HTTP: they are seen, can be deleted, and are not tagged or deployed until they are restored."""

from datetime import timedelta

import httpx
import pytest

from sandbox.aws.ecr.storage import RESTORE_SECONDS
from sandbox.clock import CLOCK
from sandbox.server import Sandbox
from tests.images import publish
from tests.marks import only_sqlite
from tests.sandbox.clients import sdk

pytestmark = [pytest.mark.asyncio, only_sqlite]

APP = "team/app"


async def move(aws: Sandbox, tag: str, to: str) -> None:
    async with sdk("ecr", aws) as ecr:
        await ecr.update_image_storage_class(repositoryName=APP, imageId={"imageTag": tag}, targetStorageClass=to)


async def test_an_archived_image_is_listed_and_shown_with_its_status(aws: Sandbox, viewer: httpx.AsyncClient) -> None:
    await publish(aws, APP, "1", "2")
    await move(aws, "1", "ARCHIVE")
    listed = (await viewer.get("/v1/images", params={"repository": APP})).json()["items"]
    assert {one["tags"][0]: one["status"] for one in listed} == {"1": "archived", "2": "active"}
    shown = await viewer.get(f"/v1/images/{APP}:1")
    assert shown.status_code == 200, shown.text
    told = {name: shown.json()[name] for name in ("status", "layers", "platforms", "manifest_withheld")}
    assert told == {"status": "archived", "layers": [], "platforms": None, "manifest_withheld": "archived"}
    active = (await viewer.get(f"/v1/images/{APP}:2")).json()
    assert (active["status"], active["manifest_withheld"], len(active["layers"])) == ("active", None, 1)


async def test_it_is_read_again_once_it_is_restored(aws: Sandbox, viewer: httpx.AsyncClient) -> None:
    await publish(aws, APP, "1")
    await move(aws, "1", "ARCHIVE")
    await move(aws, "1", "STANDARD")
    assert (await viewer.get(f"/v1/images/{APP}:1")).json()["status"] == "activating"
    CLOCK.advance(timedelta(seconds=RESTORE_SECONDS))
    shown = (await viewer.get(f"/v1/images/{APP}:1")).json()
    assert (shown["status"], len(shown["layers"])) == ("active", 1)


async def test_it_is_deleted_as_any_other(aws: Sandbox, developer: httpx.AsyncClient) -> None:
    await publish(aws, APP, "1")
    await move(aws, "1", "ARCHIVE")
    etag = (await developer.get(f"/v1/images/{APP}:1")).headers["etag"]
    deleted = await developer.delete(f"/v1/images/{APP}:1", headers={"If-Match": etag})
    assert deleted.status_code == 204, deleted.text
    assert (await developer.get("/v1/images", params={"repository": APP})).json()["items"] == []


async def test_no_tag_is_put_on_it(aws: Sandbox, developer: httpx.AsyncClient) -> None:
    await publish(aws, APP, "1")
    await move(aws, "1", "ARCHIVE")
    tagged = await developer.put(f"/v1/images/{APP}:stable", json={"source": "1"})
    assert (tagged.status_code, tagged.json()["code"]) == (409, "image_archived")
    assert "restore it first" in tagged.json()["detail"]


async def test_it_is_not_deployed_and_a_preflight_says_why(
    aws: Sandbox, deployer: httpx.AsyncClient, viewer: httpx.AsyncClient
) -> None:
    await publish(aws, APP, "1")
    await move(aws, "1", "ARCHIVE")
    asked = {"cluster": "demo", "namespace": "default", "name": "app", "image": f"{APP}:1", "port": 8080}
    refused = await deployer.post("/v1/deployments", json=asked)
    assert (refused.status_code, refused.json()["code"]) == (409, "image_archived"), refused.text
    preflight = await viewer.get("/v1/clusters/demo/preflight", params={"image": f"{APP}:1", "namespace": "default"})
    platforms = next(one for one in preflight.json()["checks"] if one["name"] == "platforms")
    assert platforms["verdict"] == "failed"
    assert "restore it first" in platforms["detail"]
