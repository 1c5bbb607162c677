"""The sandbox's registry by raw requests, as the OCI distribution specification has them."""

import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
import pytest_asyncio

from sandbox.server import Sandbox
from sandbox.story.image_writer import build_index
from tests.conftest import ACCOUNT, REGION
from tests.images import image, push_image
from tests.sandbox.clients import sdk

pytestmark = pytest.mark.asyncio

_CONTENT = b"layer " * 100
_DIGEST = "sha256:" + hashlib.sha256(_CONTENT).hexdigest()
_ABSENT = "sha256:" + "0" * 64


@pytest_asyncio.fixture
async def registry(aws: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """The operator, logged in, with repositories `app` and `other`."""
    async with sdk("ecr", aws) as ecr:
        for name in ("app", "other"):
            await ecr.create_repository(repositoryName=name)
    async with httpx.AsyncClient(base_url=aws.endpoint(ACCOUNT, REGION), auth=aws.docker_login()) as client:
        yield client


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["code"]


async def upload(registry: httpx.AsyncClient, name: str = "app") -> None:
    done = await registry.post(f"/v2/{name}/blobs/uploads/?digest={_DIGEST}", content=_CONTENT)
    assert done.status_code == 201


async def test_who_has_not_logged_in_is_told_how(aws: Sandbox) -> None:
    async with httpx.AsyncClient(base_url=aws.endpoint(ACCOUNT, REGION)) as nobody:
        answer = await nobody.get("/v2/")
        wrong = await nobody.get("/v2/", auth=("AWS", "made up"))
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert code(wrong) == (403, "DENIED")


async def test_an_upload_in_chunks(registry: httpx.AsyncClient) -> None:
    started = await registry.post("/v2/app/blobs/uploads/")
    where = started.headers["Location"]
    first = await registry.patch(where, content=_CONTENT[:100], headers={"Content-Range": "0-99"})
    assert (first.status_code, first.headers["Range"]) == (202, "0-99")
    again = await registry.patch(where, content=_CONTENT[:100], headers={"Content-Range": "0-99"})
    assert (again.status_code, again.headers["Range"]) == (416, "0-99")
    assert (await registry.get(where)).headers["Range"] == "0-99"
    done = await registry.put(f"{where}?digest={_DIGEST}", content=_CONTENT[100:])
    assert (done.status_code, done.headers["Docker-Content-Digest"]) == (201, _DIGEST)
    assert code(await registry.get(where)) == (404, "BLOB_UPLOAD_UNKNOWN")


async def test_a_wrong_digest_is_refused(registry: httpx.AsyncClient) -> None:
    wrong = await registry.post(f"/v2/app/blobs/uploads/?digest={_ABSENT}", content=_CONTENT)
    assert code(wrong) == (400, "DIGEST_INVALID")
    assert (await registry.head(f"/v2/app/blobs/{_ABSENT}")).status_code == 404


@pytest.mark.parametrize("digest", ["", "sha256:abc"])
async def test_an_upload_outlives_a_closing_that_is_wrong(registry: httpx.AsyncClient, digest: str) -> None:
    where = (await registry.post("/v2/app/blobs/uploads/")).headers["Location"]
    await registry.patch(where, content=_CONTENT[:80])
    wrong = await registry.put(where, params={"digest": digest}, content=_CONTENT[80:])
    assert code(wrong) == (400, "DIGEST_INVALID")
    misplaced = {"Content-Range": "90-99"}
    refused = await registry.put(where, params={"digest": _DIGEST}, content=_CONTENT[90:], headers=misplaced)
    assert (refused.status_code, refused.headers["Range"]) == (416, "0-79")
    done = await registry.put(where, params={"digest": _DIGEST}, content=_CONTENT[80:])
    assert done.status_code == 201


@pytest.mark.parametrize("number", ["x", "-1"])
async def test_a_page_of_no_size_is_refused(registry: httpx.AsyncClient, number: str) -> None:
    assert code(await registry.get(f"/v2/app/tags/list?n={number}")) == (400, "PAGINATION_NUMBER_INVALID")


async def test_referrers_of_what_is_no_digest_are_refused(registry: httpx.AsyncClient) -> None:
    assert code(await registry.get("/v2/app/referrers/zz")) == (400, "DIGEST_INVALID")


async def test_a_cancelled_upload_is_gone(registry: httpx.AsyncClient) -> None:
    where = (await registry.post("/v2/app/blobs/uploads/")).headers["Location"]
    assert (await registry.delete(where)).status_code == 204
    assert (await registry.patch(where, content=b"x")).status_code == 404


async def test_a_blob_is_elsewhere_whole_and_in_part(registry: httpx.AsyncClient) -> None:
    await upload(registry)
    head = await registry.head(f"/v2/app/blobs/{_DIGEST}")
    assert int(head.headers["Content-Length"]) == len(_CONTENT)
    link = await elsewhere(registry)
    async with httpx.AsyncClient() as anybody:
        assert (await anybody.get(link)).content == _CONTENT
        for asked, wanted in (("10-19", _CONTENT[10:20]), ("590-", _CONTENT[590:]), ("-7", _CONTENT[-7:])):
            part = await anybody.get(link, headers={"Range": f"bytes={asked}"})
            assert (part.status_code, part.content) == (206, wanted)
        beyond = await anybody.get(link, headers={"Range": "bytes=9999-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(_CONTENT)}")


async def elsewhere(registry: httpx.AsyncClient) -> str:
    sent_on = await registry.get(f"/v2/app/blobs/{_DIGEST}")
    assert sent_on.status_code == 307
    return sent_on.headers["Location"]


async def test_who_takes_their_login_along_is_refused(registry: httpx.AsyncClient) -> None:
    await upload(registry)
    link = await elsewhere(registry)
    assert httpx.URL(link).host != registry.base_url.host
    forwarded = await registry.get(link)
    assert (forwarded.status_code, "Only one auth mechanism allowed" in forwarded.text) == (400, True)
    followed = await registry.get(f"/v2/app/blobs/{_DIGEST}", follow_redirects=True)
    assert followed.content == _CONTENT


async def test_a_link_is_for_one_layer_and_one_hour(registry: httpx.AsyncClient, aws: Sandbox) -> None:
    await upload(registry)
    link = await elsewhere(registry)
    async with httpx.AsyncClient() as anybody:
        assert (await anybody.get(link.replace(_DIGEST, _ABSENT))).status_code == 403
        assert (await anybody.get(link.partition("?")[0])).status_code == 403
        aws.advance(timedelta(hours=1))
        assert "expired" in (await anybody.get(link)).text


async def test_a_blob_is_mounted_from_where_an_image_has_it(registry: httpx.AsyncClient, aws: Sandbox) -> None:
    await upload(registry)
    unused = await registry.post(f"/v2/other/blobs/uploads/?mount={_DIGEST}&from=app")
    await push_image(aws, "app", "1", image("one"))
    used = image("one").blobs[0].digest
    mounted = await registry.post(f"/v2/other/blobs/uploads/?mount={used}&from=app")
    unknown = await registry.post(f"/v2/other/blobs/uploads/?mount={_ABSENT}&from=app")
    assert (unused.status_code, mounted.status_code, unknown.status_code) == (202, 201, 202)
    assert (await registry.head(f"/v2/other/blobs/{used}")).status_code == 200


async def test_manifests_by_tag_and_by_digest(registry: httpx.AsyncClient, aws: Sandbox) -> None:
    digest = await push_image(aws, "app", "1", image("one"))
    by_tag, by_digest = await registry.get("/v2/app/manifests/1"), await registry.get(f"/v2/app/manifests/{digest}")
    assert by_tag.content == by_digest.content
    assert "sha256:" + hashlib.sha256(by_tag.content).hexdigest() == digest == by_tag.headers["Docker-Content-Digest"]
    assert (await registry.head("/v2/app/manifests/1")).headers["Content-Length"] == str(len(by_tag.content))
    assert code(await registry.get("/v2/app/manifests/2")) == (404, "MANIFEST_UNKNOWN")
    async with sdk("ecr", aws) as ecr:
        [details] = (await ecr.describe_images(repositoryName="app"))["imageDetails"]
    assert (details["imageDigest"], details["imageTags"]) == (digest, ["1"])


async def test_a_manifest_without_its_blobs_is_refused(registry: httpx.AsyncClient) -> None:
    manifest = image("one").manifest
    headers = {"Content-Type": manifest.media_type}
    put = await registry.put("/v2/app/manifests/1", content=manifest.content, headers=headers)
    assert code(put) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert "required for pushing image into repository with name 'app'" in put.json()["errors"][0]["message"]


_NO_MANIFESTS = (
    b"{",
    b"[]",
    b"[" * 100_000,
    b'{"schemaVersion": 2}',
    b'{"schemaVersion": 1, "layers": []}',
    b'{"schemaVersion": 2, "config": {"mediaType": "a", "digest": [], "size": 1}, "layers": []}',
    b'{"schemaVersion": 2, "config": {"mediaType": 5, "digest": "a", "size": 1}, "layers": []}',
)


@pytest.mark.parametrize("content", _NO_MANIFESTS, ids=range(len(_NO_MANIFESTS)))
async def test_what_is_no_manifest_is_refused_as_ecr_does(registry: httpx.AsyncClient, content: bytes) -> None:
    headers = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
    put = await registry.put("/v2/app/manifests/1", content=content, headers=headers)
    assert code(put) == (405, "UNSUPPORTED")
    assert put.json()["errors"][0]["message"] == (
        "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'"
    )


async def test_an_image_is_deleted_by_its_digest(registry: httpx.AsyncClient, aws: Sandbox) -> None:
    index = build_index([image("one", "amd64"), image("two", "arm64")])
    digest = await push_image(aws, "app", "1", index)
    await push_image(aws, "app", "2", index)
    child = f"/v2/app/manifests/{image('one', 'amd64').manifest.digest}"
    assert code(await registry.delete(child)) == (405, "UNSUPPORTED")
    assert code(await registry.delete("/v2/app/manifests/1")) == (405, "UNSUPPORTED")
    assert (await registry.delete(f"/v2/app/manifests/{digest}")).status_code == 202
    assert code(await registry.get("/v2/app/manifests/2")) == (404, "MANIFEST_UNKNOWN")
    assert code(await registry.delete(f"/v2/app/manifests/{digest}")) == (404, "MANIFEST_UNKNOWN")
    assert (await registry.delete(child)).status_code == 202


async def test_deleting_needs_its_own_permission(aws: Sandbox) -> None:
    async with sdk("ecr", aws) as ecr:
        await ecr.create_repository(repositoryName="app")
    digest = await push_image(aws, "app", "1", image("one"))
    async with httpx.AsyncClient(base_url=aws.endpoint(), auth=aws.docker_login("222222222222")) as other:
        assert code(await other.delete(f"/v2/app/manifests/{digest}")) == (403, "DENIED")
        assert code(await other.get("/v2/_catalog")) == (403, "DENIED")


async def test_the_catalog_in_pages(registry: httpx.AsyncClient) -> None:
    first = await registry.get("/v2/_catalog?n=1")
    second = await registry.get(first.links["next"]["url"])
    assert (first.json(), second.json()) == ({"repositories": ["app"]}, {"repositories": ["other"]})
    assert "next" not in second.links


@pytest.mark.parametrize("path", ["_catalog", "app/tags/list"])
async def test_pages_have_the_limits_of_the_api(registry: httpx.AsyncClient, path: str) -> None:
    many = await registry.get(f"/v2/{path}?n=1001")
    assert code(many) == (405, "UNSUPPORTED")
    assert "'Member must have value less than or equal to 1000'" in many.json()["errors"][0]["message"]
    for token in ("app", "WyJhIiwgImIiXQ==", "WzVd"):
        assert code(await registry.get(f"/v2/{path}?n=1&last={token}")) == (405, "UNSUPPORTED")


async def test_an_index_and_its_tags(registry: httpx.AsyncClient, aws: Sandbox) -> None:
    images = [image("one", "amd64"), image("two", "arm64")]
    for tag in ("b", "a"):
        await push_image(aws, "app", tag, build_index(images))
    first = await registry.get("/v2/app/tags/list?n=1")
    second = await registry.get(first.links["next"]["url"])
    assert (first.json()["tags"], second.json()["tags"]) == (["a"], ["b"])
    assert "next" not in second.links


async def test_referrers_are_found_by_their_subject(registry: httpx.AsyncClient, aws: Sandbox) -> None:
    subject = await push_image(aws, "app", "1", image("one"))
    await upload(registry)
    layer = {"mediaType": "application/octet-stream", "digest": _DIGEST, "size": len(_CONTENT)}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.example.sbom",
        "config": layer,
        "layers": [layer],
        "subject": {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": subject, "size": 1},
    }
    headers = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
    put = await registry.put("/v2/app/manifests/sbom", json=manifest, headers=headers)
    assert (put.status_code, put.headers["OCI-Subject"]) == (201, subject)
    found = (await registry.get(f"/v2/app/referrers/{subject}")).json()["manifests"]
    assert [one["artifactType"] for one in found] == ["application/vnd.example.sbom"]
    none = await registry.get(f"/v2/app/referrers/{subject}?artifactType=other")
    assert (none.json()["manifests"], none.headers["OCI-Filters-Applied"]) == ([], "artifactType")


async def test_an_unknown_repository_and_a_bad_name(registry: httpx.AsyncClient) -> None:
    assert code(await registry.get("/v2/no/such/tags/list")) == (404, "NAME_UNKNOWN")
    assert code(await registry.get("/v2/NO/tags/list")) == (400, "NAME_INVALID")
    assert code(await registry.delete("/v2/app/manifests/1")) == (405, "UNSUPPORTED")
