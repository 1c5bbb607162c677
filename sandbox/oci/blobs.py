"""Blobs: look, be sent to where they are, and upload: at once, in chunks, or by mounting from another repository."""

import re

from starlette.responses import Response

from sandbox.aws.ecr.layer_host import link
from sandbox.aws.ecr.layers import is_referenced
from sandbox.aws.ecr.uploads import DigestError, OutOfOrderError, Uploads, UploadUnknownError
from sandbox.oci.errors import OciError, require_digest
from sandbox.oci.exchange import Exchange

_CONTENT_RANGE = re.compile(r"(?:bytes )?(\d+)-(\d+)(?:/.*)?")


async def head(exchange: Exchange, digest: str) -> Response:
    size = _size(exchange, "BatchCheckLayerAvailability", digest)
    headers = {"Content-Length": str(size), "Docker-Content-Digest": digest, "Accept-Ranges": "bytes"}
    return Response(headers=headers, media_type="application/octet-stream")


async def get(exchange: Exchange, digest: str) -> Response:
    _size(exchange, "GetDownloadUrlForLayer", digest)
    return Response(status_code=307, headers={"Location": link(exchange.registry.layer_host, digest)})


async def start(exchange: Exchange) -> Response:
    repository = exchange.allow("InitiateLayerUpload")
    query = exchange.request.query_params
    if "mount" in query and "from" in query and _mount(exchange, query["mount"], query["from"]):
        return _created(exchange, query["mount"])
    if "digest" in query:
        require_digest(query["digest"])
    kept = Uploads(exchange.registry.state)
    upload = kept.start(repository)
    if "digest" not in query:
        return _going_on(exchange, upload, 0)
    await kept.append(repository, upload, exchange.request.stream())
    return await _complete(exchange, upload, query["digest"])


async def chunk(exchange: Exchange, upload: str) -> Response:
    size = await _append(exchange, "UploadLayerPart", upload)
    return _going_on(exchange, upload, size)


async def finish(exchange: Exchange, upload: str) -> Response:
    digest = exchange.request.query_params.get("digest", "")
    require_digest(digest)
    await _append(exchange, "CompleteLayerUpload", upload)
    return await _complete(exchange, upload, digest)


async def status(exchange: Exchange, upload: str) -> Response:
    repository = exchange.allow("UploadLayerPart")
    try:
        size = Uploads(exchange.registry.state).size(repository, upload)
    except UploadUnknownError:
        raise _unknown_upload(upload) from None
    return _going_on(exchange, upload, size, status=204)


async def cancel(exchange: Exchange, upload: str) -> Response:
    repository = exchange.allow("UploadLayerPart")
    try:
        Uploads(exchange.registry.state).cancel(repository, upload)
    except UploadUnknownError:
        raise _unknown_upload(upload) from None
    return Response(status_code=204)


async def _append(exchange: Exchange, action: str, upload: str) -> int:
    """Take the body as the next chunk; gives the size of what is there then."""
    repository = exchange.allow(action)
    given = exchange.request.headers.get("content-range")
    matched = _CONTENT_RANGE.fullmatch(given) if given else None
    if given and not matched:
        raise OciError(400, "BLOB_UPLOAD_INVALID", f"Content-Range {given!r}")
    first = int(matched[1]) if matched else None
    try:
        kept = Uploads(exchange.registry.state)
        return await kept.append(repository, upload, exchange.request.stream(), start=first)
    except UploadUnknownError:
        raise _unknown_upload(upload) from None
    except OutOfOrderError as error:
        headers = {"Range": f"0-{max(error.size - 1, 0)}", "Location": _location(exchange, upload)}
        raise OciError(416, "BLOB_UPLOAD_INVALID", str(error), headers) from None


async def _complete(exchange: Exchange, upload: str, digest: str) -> Response:
    require_digest(digest)
    repository = exchange.allow("CompleteLayerUpload")
    try:
        await Uploads(exchange.registry.state).complete(repository, upload, digest)
    except DigestError as error:
        raise OciError(400, "DIGEST_INVALID", str(error)) from None
    return _created(exchange, digest)


def _mount(exchange: Exchange, digest: str, source: str) -> bool:
    """Take a blob from another repository, if the caller may read it there, and an image there has it."""
    if not exchange.is_allowed("GetDownloadUrlForLayer", source):
        return False
    state = exchange.registry.state
    origin, target = exchange.registry.repository(source), exchange.registry.repository(exchange.name)
    row = state.one("SELECT size FROM layers WHERE repository = ? AND digest = ?", origin["id"], digest)
    if row is None or not is_referenced(exchange.registry, origin, digest):
        return False
    state.sql.execute("INSERT OR IGNORE INTO layers VALUES (?, ?, ?)", (target["id"], digest, row["size"]))
    return True


def _size(exchange: Exchange, action: str, digest: str) -> int:
    repository = exchange.allow(action)
    row = exchange.registry.state.one(
        "SELECT size FROM layers WHERE repository = ? AND digest = ?", repository["id"], digest
    )
    if row is None:
        raise OciError(404, "BLOB_UNKNOWN", f"There is no blob {digest} in {exchange.name}")
    return int(row["size"])


def _created(exchange: Exchange, digest: str) -> Response:
    headers = {"Location": f"/v2/{exchange.name}/blobs/{digest}", "Docker-Content-Digest": digest}
    return Response(status_code=201, headers=headers)


def _going_on(exchange: Exchange, upload: str, size: int, *, status: int = 202) -> Response:
    headers = {
        "Location": _location(exchange, upload),
        "Range": f"0-{max(size - 1, 0)}",
        "Docker-Upload-UUID": upload,
    }
    return Response(status_code=status, headers=headers)


def _location(exchange: Exchange, upload: str) -> str:
    return f"/v2/{exchange.name}/blobs/uploads/{upload}"


def _unknown_upload(upload: str) -> OciError:
    return OciError(404, "BLOB_UPLOAD_UNKNOWN", f"There is no upload {upload}")
