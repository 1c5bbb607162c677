"""Push an image over the OCI distribution API, as a container client does, with nothing but HTTP."""

from http import HTTPStatus
from typing import Final

import httpx

from sandbox.story.image_writer import Blob, Image, Index

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")


class PushError(Exception):
    """The registry refused a request.

    `status` is the HTTP status, `code` the registry's own error code (`DENIED`, `UNAUTHORIZED`, `NAME_UNKNOWN`, …: OCI
    Distribution Specification 1.1, "Error Codes"; empty when it sent none) and `message` its wording.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message


def push(target: Image | Index, *, host: str, repository: str, tag: str, username: str, password: str) -> str:
    """Push `target` as `repository:tag` to `host` (`name[:port]`; plain HTTP on loopback, HTTPS elsewhere).

    Answers the digest under which the registry has it. Raises `PushError` when the registry refuses,
    `httpx.TransportError` when it cannot be reached.
    """
    scheme = "http" if host.rsplit(":", 1)[0] in LOOPBACK or host in LOOPBACK else "https"
    with httpx.Client(base_url=f"{scheme}://{host}/v2/{repository}/", auth=(username, password)) as registry:
        images = target.images if isinstance(target, Index) else (target,)
        for image in images:
            for blob in image.blobs:
                _put_blob(registry, blob)
        if isinstance(target, Index):
            for image in images:
                _put_manifest(registry, image.manifest, image.manifest.digest)
        return _put_manifest(registry, target.manifest, tag)


def _put_blob(registry: httpx.Client, blob: Blob) -> None:
    # An answer to HEAD has no body: a refusal is left to the POST, whose answer says why.
    if registry.head(f"blobs/{blob.digest}").status_code == HTTPStatus.OK:
        return
    started = _check(registry.post("blobs/uploads/"))
    upload = started.url.join(started.headers["Location"])
    if (upload.scheme, upload.netloc) != (started.url.scheme, started.url.netloc):
        raise PushError(started.status_code, "", f"the upload was sent on to another host, {upload.host}")
    headers = {"Content-Type": "application/octet-stream"}
    _check(registry.put(upload.copy_add_param("digest", blob.digest), content=blob.content, headers=headers))


def _put_manifest(registry: httpx.Client, manifest: Blob, reference: str) -> str:
    headers = {"Content-Type": manifest.media_type}
    answer = _check(registry.put(f"manifests/{reference}", content=manifest.content, headers=headers))
    stored = answer.headers.get("Docker-Content-Digest", manifest.digest)
    if stored != manifest.digest:
        raise PushError(answer.status_code, "DIGEST_INVALID", f"pushed {manifest.digest}, stored as {stored}")
    return manifest.digest


def _check(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    try:
        error = answer.json()["errors"][0]
        code, message = str(error["code"]), str(error.get("message", ""))
    except (ValueError, LookupError, TypeError):
        code, message = "", answer.reason_phrase
    raise PushError(answer.status_code, code, message)
