"""The push over HTTP, against a small registry that speaks the OCI distribution specification."""

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sandbox.story.image_writer import Image, ImageConfig, Index, Platform, build_image, build_index, build_layer
from sandbox.story.push import PushError, push

LOGIN = "Basic " + base64.b64encode(b"AWS:secret").decode()


def image(architecture: str = "amd64") -> Image:
    layers = [build_layer({"/shared": b"shared"}), build_layer({"/arch": architecture.encode()})]
    return build_image(layers, ImageConfig(platform=Platform(architecture=architecture)))


@dataclass
class Registry:
    """`location` is where uploads are sent on to; `stored_as` is the digest claimed for manifests."""

    host: str = ""
    location: str = "/v2/team/app/blobs/uploads/1?state=x"
    stored_as: str | None = None
    may_push: bool = True
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    uploads: int = 0


class Handler(BaseHTTPRequestHandler):
    registry: Registry

    def do_HEAD(self) -> None:
        is_known = self.path.rpartition("/")[2] in self.registry.blobs
        self._answer(200 if is_known else 404)

    def do_POST(self) -> None:
        if self.headers["Authorization"] != LOGIN:
            self._answer(401)
        elif not self.registry.may_push:
            self._answer(403, {"errors": [{"code": "DENIED", "message": "not authorized to perform the action"}]})
        else:
            self._answer(202, headers={"Location": self.registry.location})

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        url = urlsplit(self.path)
        if "/manifests/" in url.path:
            self._put_manifest(url.path.rpartition("/")[2], content, digest)
        elif parse_qs(url.query) != {"state": ["x"], "digest": [digest]}:
            self._answer(400, {"errors": [{"code": "DIGEST_INVALID", "message": "no"}]})
        else:
            self.registry.blobs[digest] = content
            self.registry.uploads += 1
            self._answer(201)

    def _put_manifest(self, reference: str, content: bytes, digest: str) -> None:
        document = json.loads(content)
        named = [entry["digest"] for entry in document.get("layers", [])] + [
            entry["digest"] for entry in document.get("manifests", [])
        ]
        if not set(named) <= self.registry.blobs.keys() | self.registry.manifests.keys():
            self._answer(404, {"errors": [{"code": "MANIFEST_BLOB_UNKNOWN"}]})
            return
        self.registry.manifests[reference] = (self.headers["Content-Type"], content)
        self._answer(201, headers={"Docker-Content-Digest": self.registry.stored_as or digest})

    def _answer(self, status: int, body: object = None, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode() if body else b""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - the signature is http.server's
        """Keep the test's output clean."""


@pytest.fixture
def registry() -> Iterator[Registry]:
    registry = Registry()
    handler = type("BoundHandler", (Handler,), {"registry": registry})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        registry.host = f"127.0.0.1:{server.server_port}"
        yield registry
        server.shutdown()


def push_to(registry: Registry, target: Image | Index, password: str = "secret") -> str:  # noqa: S107 - made up
    return push(target, host=registry.host, repository="team/app", tag="1.0", username="AWS", password=password)


def test_a_push_uploads_every_blob_and_then_the_manifest(registry: Registry) -> None:
    built = image()
    assert push_to(registry, built) == built.manifest.digest
    assert registry.blobs == {blob.digest: blob.content for blob in built.blobs}
    assert registry.manifests == {"1.0": (built.manifest.media_type, built.manifest.content)}


def test_what_the_registry_has_is_not_uploaded_again(registry: Registry) -> None:
    push_to(registry, image("amd64"))
    before = registry.uploads
    push_to(registry, image("arm64"))
    assert registry.uploads - before == 2  # the layer and the configuration that differ


def test_an_index_is_pushed_after_the_images_it_names(registry: Registry) -> None:
    index = build_index([image("amd64"), image("arm64")])
    assert push_to(registry, index) == index.manifest.digest
    assert set(registry.manifests) == {"1.0", *(child.manifest.digest for child in index.images)}


def test_an_upload_location_may_be_absolute(registry: Registry) -> None:
    registry.location = f"http://{registry.host}/elsewhere?state=x"
    push_to(registry, image())
    assert registry.uploads == 3


def test_a_refusal_carries_the_registrys_own_code(registry: Registry) -> None:
    registry.may_push = False
    with pytest.raises(PushError) as refused:
        push_to(registry, image())
    assert (refused.value.status, refused.value.code) == (403, "DENIED")
    assert refused.value.message == "not authorized to perform the action"


def test_a_refusal_without_a_body_carries_its_status(registry: Registry) -> None:
    with pytest.raises(PushError) as refused:
        push_to(registry, image(), password="wrong")
    assert (refused.value.status, refused.value.code, refused.value.message) == (401, "", "Unauthorized")


def test_the_credential_is_not_sent_on_to_another_host(registry: Registry) -> None:
    registry.location = "http://127.0.0.1:9/v2/team/app/blobs/uploads/1"
    with pytest.raises(PushError, match="another host"):
        push_to(registry, image())


def test_a_registry_that_stores_something_else_is_not_believed(registry: Registry) -> None:
    registry.stored_as = "sha256:" + "0" * 64
    with pytest.raises(PushError, match="DIGEST_INVALID"):
        push_to(registry, image())
