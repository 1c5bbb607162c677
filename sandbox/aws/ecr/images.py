"""Images: put, describe, list, get, delete. A digest is always that of the exact bytes that were put."""

import json
import re
import sqlite3
from collections.abc import Iterator

from sandbox.aws.ecr import manifests, paging, storage
from sandbox.aws.ecr.errors import EcrError, invalid
from sandbox.aws.ecr.manifests import Manifest, ManifestError
from sandbox.aws.ecr.registry import Json, Registry
from sandbox.aws.policy.language import any_of, glob
from sandbox.clock import CLOCK
from sandbox.state import sha256_of

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PULL_TIME_GRAIN = 24 * 3600


def put_image(registry: Registry, asked: Json) -> Json:
    content = asked["imageManifest"].encode()
    put = store(
        registry,
        registry.repository(asked["repositoryName"]),
        content,
        media_type=asked.get("imageManifestMediaType"),
        tag=asked.get("imageTag"),
        digest=asked.get("imageDigest"),
    )
    if not put:
        named = f"tag '{asked['imageTag']}'" if "imageTag" in asked else f"digest '{sha256_of(content)}'"
        raise EcrError(
            "ImageAlreadyExistsException",
            f"Image with {named} already exists in the '{asked['repositoryName']}' repository",
        )
    row = _find(registry, registry.repository(asked["repositoryName"]), sha256_of(content))
    return {"image": _image(registry, asked["repositoryName"], row, asked.get("imageTag"))}


def store(
    registry: Registry,
    repository: sqlite3.Row,
    content: bytes,
    *,
    media_type: str | None,
    tag: str | None,
    digest: str | None,
) -> bool:
    """Keep a manifest, by tag if there is one; False if it was there, under that tag, already.

    :raises EcrError: as PutImage does.
    """
    actual = sha256_of(content)
    if digest is not None and digest != actual:
        raise EcrError("ImageDigestDoesNotMatchException", f"The digest is {actual}, not {digest}")
    manifest = _readable(content, media_type)
    _check_references(registry, repository, manifest)
    known = _by_digest(registry, repository, actual)
    is_archived = known is not None and not storage.is_active(registry, known)
    if known and not is_archived and (tag is None or _digest_of_tag(registry, repository, tag) == actual):
        return False
    if tag is not None and _digest_of_tag(registry, repository, tag) != actual:
        _check_mutability(registry, repository, tag)
    with registry.state.transaction() as sql:
        if not known:
            _insert(registry, repository, actual, content, manifest)
        elif is_archived:
            storage.restore(registry, [known])
        if tag is not None:
            sql.execute("INSERT OR REPLACE INTO image_tags VALUES (?, ?, ?)", (repository["id"], tag, actual))
    return True


def note_pull(registry: Registry, row: sqlite3.Row) -> None:
    """Refresh the pull time, about once a day as ECR does."""
    now = CLOCK.time()
    if row["pulled_at"] is None or now - row["pulled_at"] > _PULL_TIME_GRAIN:
        registry.state.sql.execute(
            "UPDATE images SET pulled_at = ? WHERE repository = ? AND digest = ?",
            (now, row["repository"], row["digest"]),
        )


def find(registry: Registry, repository: sqlite3.Row, reference: str) -> sqlite3.Row | None:
    """An image by its tag or digest."""
    digest = reference if _DIGEST.fullmatch(reference) else _digest_of_tag(registry, repository, reference)
    return _by_digest(registry, repository, digest) if digest else None


def find_active(registry: Registry, repository: sqlite3.Row, reference: str) -> sqlite3.Row | None:
    """An image that can be pulled."""
    row = find(registry, repository, reference)
    return row if row is not None and storage.is_active(registry, row) else None


def update_image_storage_class(registry: Registry, asked: Json) -> Json:
    """An image goes with what refers to it; one that an index lists only after the index."""
    repository = registry.repository(asked["repositoryName"])
    image = _required(registry, repository, asked["imageId"])
    referrers = "SELECT * FROM images WHERE repository = ? AND subject = ?"
    moved = [image, *registry.state.all(referrers, repository["id"], image["digest"])]
    if asked["targetStorageClass"] == "STANDARD":
        storage.restore(registry, moved, after=storage.RESTORE_SECONDS)
    elif _is_in_an_index(registry, repository, image["digest"], active=True):
        text = "The image is part of an index that is not archived"
        raise EcrError("ImageStorageClassUpdateNotSupportedException", text)
    else:
        storage.archive(registry, moved)
    status = storage.details(registry, image)["imageStatus"]
    return registry.named(repository["name"]) | {"imageId": _id(image["digest"], None), "imageStatus": status}


def describe_images(registry: Registry, asked: Json) -> Json:
    paging.refuse_both(asked, "imageIds")
    repository = registry.repository(asked["repositoryName"])
    wanted, status = _filter(asked)
    if ids := asked.get("imageIds"):
        rows = {row["digest"]: row for row in (_required(registry, repository, one) for one in ids)}
        details = [_details(registry, repository, row) for row in rows.values()]
        if hidden := [one for one in details if status not in ("ANY", one["imageStatus"])]:
            raise _not_found(registry, repository, {"imageDigest": hidden[0]["imageDigest"]})
        return {"imageDetails": details}
    after = paging.start(asked)
    rows_found = registry.state.all(
        "SELECT i.* FROM images i LEFT JOIN image_tags t ON t.repository = i.repository AND t.digest = i.digest"
        " LEFT JOIN image_storage s ON s.repository = i.repository AND s.digest = i.digest"
        " WHERE i.repository = ? AND i.digest > ? AND ? IN ('ANY', image_status(s.archived_at, s.active_from))"
        " GROUP BY i.digest"
        " HAVING ? = 'ANY' OR (COUNT(t.tag) > 0) = (? = 'TAGGED') ORDER BY i.digest LIMIT ?",
        repository["id"],
        after[0] if after else "",
        status,
        wanted,
        wanted,
        asked.get("maxResults", paging.DEFAULT_PAGE) + 1,
    )
    kept, last = paging.page(asked, rows_found)
    answer: Json = {"imageDetails": [_details(registry, repository, row) for row in kept]}
    return answer | ({"nextToken": paging.token_after(last["digest"])} if last else {})


def list_images(registry: Registry, asked: Json) -> Json:
    repository = registry.repository(asked["repositoryName"])
    wanted, status = _filter(asked)
    after = paging.start(asked, parts=2) or ["", ""]
    rows = registry.state.all(
        "SELECT i.digest AS digest, COALESCE(t.tag, '') AS tag FROM images i LEFT JOIN image_tags t"
        " ON t.repository = i.repository AND t.digest = i.digest"
        " LEFT JOIN image_storage s ON s.repository = i.repository AND s.digest = i.digest"
        " WHERE i.repository = ? AND (i.digest, COALESCE(t.tag, '')) > (?, ?)"
        " AND ? IN ('ANY', image_status(s.archived_at, s.active_from))"
        " AND (? = 'ANY' OR (t.tag IS NOT NULL) = (? = 'TAGGED')) ORDER BY 1, 2 LIMIT ?",
        repository["id"],
        *after,
        status,
        wanted,
        wanted,
        asked.get("maxResults", paging.DEFAULT_PAGE) + 1,
    )
    kept, last = paging.page(asked, rows)
    answer: Json = {"imageIds": [_id(row["digest"], row["tag"] or None) for row in kept]}
    return answer | ({"nextToken": paging.token_after(last["digest"], last["tag"])} if last else {})


def _filter(asked: Json) -> tuple[str, str]:
    """By tag and by status; without one, what is not active is left out."""
    given = asked.get("filter", {})
    return given.get("tagStatus", "ANY"), given.get("imageStatus", "ACTIVE")


def batch_get_image(registry: Registry, asked: Json) -> Json:
    repository = registry.repository(asked["repositoryName"])
    images, failures = [], []
    for one in asked["imageIds"]:
        row = _identified(registry, repository, one)
        if isinstance(row, str):
            failures.append(_failure(one, row))
        elif not storage.is_active(registry, row):
            failures.append(_failure(one, "ImageInaccessible"))
        else:
            note_pull(registry, row)
            images.append(_image(registry, repository["name"], row, one.get("imageTag")))
    return {"images": images, "failures": failures}


def batch_delete_image(registry: Registry, asked: Json) -> Json:
    repository = registry.repository(asked["repositoryName"])
    gone: list[Json] = []
    failures: list[Json] = []
    for one in asked["imageIds"]:
        row = _identified(registry, repository, one)
        if isinstance(row, str):
            failures.append(_failure(one, row))
            continue
        tags = _tags(registry, repository, row["digest"])
        by_tag = [one["imageTag"]] if "imageTag" in one else tags
        if set(by_tag) != set(tags):
            registry.state.sql.execute(
                "DELETE FROM image_tags WHERE repository = ? AND tag = ?", (repository["id"], one["imageTag"])
            )
        elif _is_in_an_index(registry, repository, row["digest"]):
            failures.append(_failure(one, "ImageReferencedByManifestList"))
            continue
        else:
            registry.state.sql.execute(
                "DELETE FROM images WHERE repository = ? AND digest = ?", (repository["id"], row["digest"])
            )
        gone += [_id(row["digest"], tag) for tag in by_tag] or [_id(row["digest"], None)]
    return {"imageIds": gone, "failures": failures}


def _readable(content: bytes, media_type: str | None) -> Manifest:
    try:
        return manifests.read(content, media_type)
    except ManifestError as error:
        # Whatever is wrong with it, ECR says this.
        text = "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'"
        raise invalid(text) from error


def _check_references(registry: Registry, repository: sqlite3.Row, manifest: Manifest) -> None:
    missing = [
        digest
        for digest in manifest.blobs
        if not registry.state.one("SELECT 1 FROM layers WHERE repository = ? AND digest = ?", repository["id"], digest)
    ]
    if missing:
        raise EcrError(
            "LayersNotFoundException",
            f"Layers with digests '[{', '.join(missing)}]' required for pushing image into repository with name "
            f"'{repository['name']}' in the registry with id '{registry.place.account}' do not exist",
        )
    absent = [digest for digest in manifest.children if not _by_digest(registry, repository, digest)]
    if absent:
        raise EcrError("ReferencedImagesNotFoundException", f"The images with digests '{absent}' do not exist")


def _check_mutability(registry: Registry, repository: sqlite3.Row, tag: str) -> None:
    if _digest_of_tag(registry, repository, tag) is None:
        return
    filters = [one["filter"] for one in json.loads(repository["exclusions"])]
    is_excluded = any_of(map(glob, filters)).fullmatch(tag) is not None
    if repository["mutability"].startswith("IMMUTABLE") != is_excluded:
        raise EcrError(
            "ImageTagAlreadyExistsException",
            f"The image tag '{tag}' already exists in the '{repository['name']}' repository "
            "and cannot be overwritten because the tag is immutable.",
        )


def _insert(registry: Registry, repository: sqlite3.Row, digest: str, content: bytes, manifest: Manifest) -> None:
    children = [row for child in manifest.children if (row := _by_digest(registry, repository, child))]
    size = max((row["size"] for row in children), default=0) if manifest.is_index else manifest.layers_size
    registry.state.sql.execute(
        "INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?)",
        (
            repository["id"],
            digest,
            manifest.media_type,
            manifest.artifact_type,
            content,
            size,
            CLOCK.time(),
            manifest.subject,
        ),
    )


def _by_digest(registry: Registry, repository: sqlite3.Row, digest: str) -> sqlite3.Row | None:
    return registry.state.one("SELECT * FROM images WHERE repository = ? AND digest = ?", repository["id"], digest)


def _find(registry: Registry, repository: sqlite3.Row, reference: str) -> sqlite3.Row:
    row = find(registry, repository, reference)
    if row is None:
        raise _not_found(registry, repository, {"imageDigest": reference})
    return row


def _digest_of_tag(registry: Registry, repository: sqlite3.Row, tag: str) -> str | None:
    row = registry.state.one("SELECT digest FROM image_tags WHERE repository = ? AND tag = ?", repository["id"], tag)
    return row["digest"] if row else None


def _tags(registry: Registry, repository: sqlite3.Row, digest: str) -> list[str]:
    rows = registry.state.all(
        "SELECT tag FROM image_tags WHERE repository = ? AND digest = ? ORDER BY tag", repository["id"], digest
    )
    return [row["tag"] for row in rows]


def _identified(registry: Registry, repository: sqlite3.Row, image_id: Json) -> sqlite3.Row | str:
    """The image that an `imageId` names, or the failure code that ECR gives for it."""
    digest, tag = image_id.get("imageDigest"), image_id.get("imageTag")
    if digest is None and tag is None:
        return "MissingDigestAndTag"
    if digest is not None and not _DIGEST.fullmatch(digest):
        return "InvalidImageDigest"
    row = find(registry, repository, tag if tag is not None else str(digest))
    if row is None:
        return "ImageNotFound"
    return "ImageTagDoesNotMatchDigest" if digest is not None and row["digest"] != digest else row


def _required(registry: Registry, repository: sqlite3.Row, image_id: Json) -> sqlite3.Row:
    row = _identified(registry, repository, image_id)
    if isinstance(row, str):
        if row != "ImageNotFound":
            raise invalid(f"Invalid parameter at 'imageIds': {row}")
        raise _not_found(registry, repository, image_id)
    return row


def _not_found(registry: Registry, repository: sqlite3.Row, image_id: Json) -> EcrError:
    named = ", ".join(f"{key}:'{value}'" for key, value in image_id.items())
    return EcrError(
        "ImageNotFoundException",
        f"The image with imageId {{{named}}} does not exist within the repository with name '{repository['name']}' "
        f"in the registry with id '{registry.place.account}'",
    )


def _is_in_an_index(registry: Registry, repository: sqlite3.Row, digest: str, *, active: bool = False) -> bool:
    """:param active: look only at indexes that are not archived."""
    return any(digest in children for children in _children(registry, repository, active=active))


def _children(registry: Registry, repository: sqlite3.Row, *, active: bool) -> Iterator[tuple[str, ...]]:
    for row in registry.state.all("SELECT * FROM images WHERE repository = ?", repository["id"]):
        if row["media_type"] in manifests.INDEXES and (not active or storage.is_active(registry, row)):
            yield manifests.read(row["manifest"], row["media_type"]).children


def _details(registry: Registry, repository: sqlite3.Row, row: sqlite3.Row) -> Json:
    details = registry.named(repository["name"]) | {
        "imageDigest": row["digest"],
        "imageSizeInBytes": row["size"],
        "imagePushedAt": row["pushed_at"],
        "imageManifestMediaType": row["media_type"],
    }
    if tags := _tags(registry, repository, row["digest"]):
        details["imageTags"] = tags
    if row["artifact_type"]:
        details["artifactMediaType"] = row["artifact_type"]
    if row["pulled_at"]:
        details["lastRecordedPullTime"] = row["pulled_at"]
    if row["subject"]:
        details["subjectManifestDigest"] = row["subject"]
    return details | storage.details(registry, row)


def _image(registry: Registry, name: str, row: sqlite3.Row, tag: str | None) -> Json:
    return registry.named(name) | {
        "imageId": _id(row["digest"], tag),
        "imageManifest": row["manifest"].decode(),
        "imageManifestMediaType": row["media_type"],
    }


def _id(digest: str, tag: str | None) -> Json:
    return {"imageDigest": digest} | ({"imageTag": tag} if tag else {})


def _failure(image_id: Json, code: str) -> Json:
    reasons = {
        "ImageNotFound": "Requested image not found",
        "InvalidImageDigest": "Invalid request parameters: that is not a digest",
        "MissingDigestAndTag": "Invalid request parameters: both tag and digest cannot be null",
    }
    return {"imageId": image_id, "failureCode": code, "failureReason": reasons.get(code, code)}
