"""Manifests, tags and referrers."""

import json
import sqlite3
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.aws.ecr import api as ecr
from sandbox.aws.ecr import images, manifests, paging
from sandbox.aws.ecr.manifests import OCI_INDEX
from sandbox.aws.ecr.model import checked
from sandbox.aws.ecr.registry import Json, Registry
from sandbox.aws.policy import Principal
from sandbox.oci.errors import OciError, require_digest
from sandbox.oci.exchange import Exchange
from sandbox.state import sha256_of

_MOST_IN_A_PAGE = 1000


async def get(exchange: Exchange, reference: str) -> Response:
    """A manifest, also for HEAD."""
    repository = exchange.allow("BatchGetImage")
    row = images.find_active(exchange.registry, repository, reference)
    if row is None:
        raise OciError(404, "MANIFEST_UNKNOWN", f"Requested image not found: {exchange.name}:{reference}")
    headers = {"Docker-Content-Digest": row["digest"], "Content-Type": row["media_type"]}
    if exchange.request.method == "HEAD":
        return Response(headers=headers | {"Content-Length": str(len(row["manifest"]))})
    images.note_pull(exchange.registry, row)
    return Response(row["manifest"], headers=headers)


async def put(exchange: Exchange, reference: str) -> Response:
    repository = exchange.allow("PutImage")
    content = await exchange.request.body()
    checked("PutImage", {"repositoryName": exchange.name, "imageManifest": content.decode(errors="replace")})
    is_digest = reference.startswith("sha256:")
    images.store(
        exchange.registry,
        repository,
        content,
        media_type=exchange.request.headers.get("content-type", "").partition(";")[0].strip() or None,
        tag=None if is_digest else reference,
        digest=reference if is_digest else None,
    )
    digest = sha256_of(content)
    headers = {"Location": f"/v2/{exchange.name}/manifests/{digest}", "Docker-Content-Digest": digest}
    if subject := _subject(exchange, repository, digest):
        headers["OCI-Subject"] = subject
    return Response(status_code=201, headers=headers)


async def delete(exchange: Exchange, reference: str) -> Response:
    """An image, by its digest, with all its tags."""
    repository = exchange.allow("BatchDeleteImage")
    if not reference.startswith("sha256:"):
        raise OciError(405, "UNSUPPORTED", "A manifest is deleted by its digest")
    asked = {"repositoryName": repository["name"], "imageIds": [{"imageDigest": reference}]}
    for failure in images.batch_delete_image(exchange.registry, asked)["failures"]:
        if failure["failureCode"] == "ImageNotFound":
            raise OciError(404, "MANIFEST_UNKNOWN", failure["failureReason"])
        raise OciError(405, "UNSUPPORTED", failure["failureReason"])
    return Response(status_code=202)


async def catalog(request: Request, registry: Registry, principal: Principal) -> Response:
    """DescribeRepositories in other clothes: its permission, its limits, and its token for `last`."""
    asked = _page(request)
    answer = await ecr.answer(registry, principal, "", "DescribeRepositories", asked)
    names = [one["repositoryName"] for one in answer["repositories"]]
    headers = _next("/v2/_catalog", asked, answer["nextToken"]) if "nextToken" in answer else {}
    return JSONResponse({"repositories": names}, headers=headers)


async def tags(exchange: Exchange) -> Response:
    """As ListImages: its limits, and a token for `last`, not a tag."""
    repository = exchange.allow("ListImages")
    asked = checked("ListImages", {"repositoryName": exchange.name, **_page(exchange.request)})
    rows = exchange.registry.state.all(
        "SELECT tag FROM image_tags WHERE repository = ? AND tag > ? ORDER BY tag LIMIT ?",
        repository["id"],
        *(paging.start(asked) or [""]),
        asked["maxResults"] + 1,
    )
    kept, last = paging.page(asked, rows)
    headers = _next(f"/v2/{exchange.name}/tags/list", asked, paging.token_after(last["tag"])) if last else {}
    return JSONResponse({"name": exchange.name, "tags": [row["tag"] for row in kept]}, headers=headers)


def _page(request: Request) -> Json:
    query = request.query_params
    number = query.get("n", str(_MOST_IN_A_PAGE))
    if not number.isdecimal():
        raise OciError(400, "PAGINATION_NUMBER_INVALID", f"n is {number!r}")
    return {"maxResults": int(number)} | ({"nextToken": query["last"]} if "last" in query else {})


def _next(path: str, asked: Json, token: str) -> dict[str, str]:
    query = urlencode({"n": asked["maxResults"], "last": token})
    return {"Link": f'<{path}?{query}>; rel="next"'}


async def referrers(exchange: Exchange, digest: str) -> Response:
    repository = exchange.allow("BatchGetImage")
    require_digest(digest)
    wanted = exchange.request.query_params.get("artifactType")
    rows = exchange.registry.state.all(
        "SELECT * FROM images WHERE repository = ? AND subject = ? ORDER BY digest", repository["id"], digest
    )
    referrers = [_descriptor(row) for row in rows if wanted in (None, row["artifact_type"])]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": referrers}
    headers = {"OCI-Filters-Applied": "artifactType"} if wanted else {}
    return Response(json.dumps(index), headers=headers, media_type=OCI_INDEX)


def _descriptor(row: sqlite3.Row) -> dict[str, object]:
    described = {
        "mediaType": row["media_type"],
        "digest": row["digest"],
        "size": len(row["manifest"]),
        "artifactType": row["artifact_type"],
    }
    annotations = manifests.read(row["manifest"], row["media_type"]).annotations
    return described | ({"annotations": annotations} if annotations else {})


def _subject(exchange: Exchange, repository: sqlite3.Row, digest: str) -> str | None:
    row = images.find(exchange.registry, repository, digest)
    return row["subject"] if row else None
