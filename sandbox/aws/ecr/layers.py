"""Layers: availability, the API's own way to upload them, and links to download them."""

import sqlite3
from collections.abc import AsyncIterator

from sandbox.aws.ecr import storage
from sandbox.aws.ecr.errors import EcrError, invalid
from sandbox.aws.ecr.layer_host import link
from sandbox.aws.ecr.registry import Json, Registry
from sandbox.aws.ecr.uploads import DigestError, OutOfOrderError, Uploads, UploadUnknownError

PART_SIZE = 10 * 1024 * 1024
LEAST_PART = 5 * 1024 * 1024


def batch_check_layer_availability(registry: Registry, asked: Json) -> Json:
    repository = registry.repository(asked["repositoryName"])
    layers, failures = [], []
    for digest in asked["layerDigests"]:
        row = registry.state.one(
            "SELECT size FROM layers WHERE repository = ? AND digest = ?", repository["id"], digest
        )
        if row:
            availability = "ARCHIVED" if _is_archived(registry, repository, digest) else "AVAILABLE"
            layers.append({"layerDigest": digest, "layerAvailability": availability, "layerSize": row["size"]})
        else:
            failures.append(
                {"layerDigest": digest, "failureCode": "MissingLayerDigest", "failureReason": "Layer not found"}
            )
    return {"layers": layers, "failures": failures}


def initiate_layer_upload(registry: Registry, asked: Json) -> Json:
    upload = Uploads(registry.state).start(registry.repository(asked["repositoryName"]))
    return {"uploadId": upload, "partSize": PART_SIZE}


async def upload_layer_part(registry: Registry, asked: Json) -> Json:
    repository = registry.repository(asked["repositoryName"])
    uploads, upload, content = Uploads(registry.state), asked["uploadId"], asked["layerPartBlob"]
    if asked["partLastByte"] - asked["partFirstByte"] + 1 != len(content):
        raise invalid("Invalid parameter at 'partLastByte': the part has another size")
    try:
        size = await uploads.append(repository, upload, _once(content), start=asked["partFirstByte"])
    except UploadUnknownError:
        raise _unknown(upload, repository["name"]) from None
    except OutOfOrderError as error:
        raise EcrError(
            "InvalidLayerPartException",
            f"The part does not follow the last one: {error}",
            **registry.named(repository["name"]),
            uploadId=upload,
            lastValidByteReceived=error.size - 1,
        ) from None
    uploads.note_part(upload, len(content), least=LEAST_PART)
    return registry.named(repository["name"]) | {"uploadId": upload, "lastByteReceived": size - 1}


async def complete_layer_upload(registry: Registry, asked: Json) -> Json:
    repository = registry.repository(asked["repositoryName"])
    name, upload, digest = repository["name"], asked["uploadId"], asked["layerDigests"][0]
    uploads = Uploads(registry.state)
    try:
        if uploads.size(repository, upload) == 0:
            raise EcrError("EmptyUploadException", f"The upload {upload} has no part")
        if uploads.has_small_part(upload):
            raise EcrError("LayerPartTooSmallException", f"Every part but the last has at least {LEAST_PART} bytes")
        if registry.state.one("SELECT 1 FROM layers WHERE repository = ? AND digest = ?", repository["id"], digest):
            raise EcrError("LayerAlreadyExistsException", f"The layer {digest} exists already in '{name}'")
        await uploads.complete(repository, upload, digest)
    except UploadUnknownError:
        raise _unknown(upload, name) from None
    except DigestError as error:
        raise EcrError("InvalidLayerException", str(error)) from None
    return registry.named(name) | {"uploadId": upload, "layerDigest": digest}


def get_download_url_for_layer(registry: Registry, asked: Json) -> Json:
    repository, digest = registry.repository(asked["repositoryName"]), asked["layerDigest"]
    row = registry.state.one("SELECT 1 FROM layers WHERE repository = ? AND digest = ?", repository["id"], digest)
    if row is None:
        raise EcrError("LayersNotFoundException", f"The layer {digest} does not exist in '{repository['name']}'")
    if not is_referenced(registry, repository, digest):
        raise EcrError("LayerInaccessibleException", f"No image of '{repository['name']}' references {digest}")
    return {"downloadUrl": link(registry.layer_host, digest), "layerDigest": digest}


def is_referenced(registry: Registry, repository: sqlite3.Row, digest: str) -> bool:
    """Whether an active image of the repository has the layer."""
    return any(storage.is_active(registry, row) for row in _having(registry, repository, digest))


def _is_archived(registry: Registry, repository: sqlite3.Row, digest: str) -> bool:
    images = _having(registry, repository, digest)
    return bool(images) and not any(storage.is_active(registry, row) for row in images)


def _having(registry: Registry, repository: sqlite3.Row, digest: str) -> list[sqlite3.Row]:
    query = "SELECT repository, digest FROM images WHERE repository = ? AND instr(manifest, CAST(? AS BLOB)) > 0"
    return registry.state.all(query, repository["id"], digest)


def _unknown(upload: str, name: str) -> EcrError:
    return EcrError("UploadNotFoundException", f"There is no upload {upload} in the repository '{name}'")


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
