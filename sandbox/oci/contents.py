"""Manifests, tags and referrers."""

import json
import sqlite3

from starlette.responses import JSONResponse, Response

from sandbox import manifests
from sandbox.ecr import images
from sandbox.manifests import OCI_INDEX
from sandbox.oci.errors import OciError, require_digest
from sandbox.oci.exchange import Exchange
from sandbox.state import sha256_of

_MOST_BYTES = 4_194_304


async def get(exchange: Exchange, reference: str) -> Response:
    """A manifest, also for HEAD."""
    repository = exchange.allow("BatchGetImage")
    row = images.find(exchange.registry, repository, reference)
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
    if len(content) > _MOST_BYTES:
        raise OciError(413, "MANIFEST_INVALID", f"A manifest has at most {_MOST_BYTES} bytes")
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


async def tags(exchange: Exchange) -> Response:
    repository = exchange.allow("ListImages")
    query = exchange.request.query_params
    try:
        most = int(query.get("n", "1000"))
    except ValueError:
        most = -1
    if most < 0:
        raise OciError(400, "PAGINATION_NUMBER_INVALID", f"n is {query['n']!r}")
    rows = exchange.registry.state.all(
        "SELECT tag FROM image_tags WHERE repository = ? AND tag > ? ORDER BY tag LIMIT ?",
        repository["id"],
        query.get("last", ""),
        most + 1,
    )
    found = [row["tag"] for row in rows[:most]]
    headers = {}
    if len(rows) > most and found:
        headers["Link"] = f'</v2/{exchange.name}/tags/list?n={most}&last={found[-1]}>; rel="next"'
    return JSONResponse({"name": exchange.name, "tags": found}, headers=headers)


async def referrers(exchange: Exchange, digest: str) -> Response:
    repository = exchange.allow("BatchGetImage")
    require_digest(digest)
    wanted = exchange.request.query_params.get("artifactType")
    rows = exchange.registry.state.all(
        "SELECT * FROM images WHERE repository = ? AND subject = ? ORDER BY digest", repository["id"], digest
    )
    found = [_descriptor(row) for row in rows if wanted in (None, row["artifact_type"])]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}
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
