"""A small OCI image writer, for machines without a container engine.

It runs no build steps: it packs files into layers and writes the configuration and the manifest around them, as the
OCI Image Format Specification 1.1 describes. Layers hold regular files (mode 0644) and their folders (0755), owned by
0:0 and dated 1970-01-01, so the same files give the same digests.
"""

import gzip
import hashlib
import io
import json
import sysconfig
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
EPOCH: Final = "1970-01-01T00:00:00Z"

SAMPLE_APP: Final = Path(__file__).parents[2] / "app-sample"
SAMPLE_PORT: Final = 8080
SAMPLE_USER: Final = "10001:10001"
SLIM_MODULES: Final = ("abc.py", "codecs.py", "io.py", "os.py", "site.py", "stat.py")


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Blob:
    """Bytes as a registry stores them."""

    media_type: str
    content: bytes = field(repr=False)

    @cached_property
    def digest(self) -> str:
        return sha256(self.content)

    def to_descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content)}


@dataclass(frozen=True)
class Layer:
    """A compressed layer; `diff_id` is the digest of its tar before compression."""

    blob: Blob
    diff_id: str


@dataclass(frozen=True)
class Platform:
    """Names as Go's GOOS and GOARCH give them."""

    architecture: str = "amd64"
    os: str = "linux"


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """What a container engine is told about running the image. `port` is a TCP port."""

    platform: Platform = Platform()
    entrypoint: Sequence[str] = ()
    cmd: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    port: int | None = None
    working_dir: str = "/"
    labels: Mapping[str, str] = field(default_factory=dict)

    def to_document(self, diff_ids: Sequence[str]) -> dict[str, Any]:
        execution = {
            "User": self.user,
            "ExposedPorts": {f"{self.port}/tcp": {}} if self.port else {},
            "Env": [f"{name}={value}" for name, value in self.env.items()],
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.cmd),
            "WorkingDir": self.working_dir,
            "Labels": dict(self.labels),
        }
        return {
            "created": EPOCH,
            "architecture": self.platform.architecture,
            "os": self.platform.os,
            "config": {name: value for name, value in execution.items() if value},
            "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        }


@dataclass(frozen=True)
class Image:
    """One platform's image: its manifest and every blob the manifest names."""

    platform: Platform
    manifest: Blob
    config: Blob
    layers: tuple[Layer, ...]

    @property
    def blobs(self) -> tuple[Blob, ...]:
        return (*(layer.blob for layer in self.layers), self.config)


@dataclass(frozen=True)
class Index:
    """One reference for several platforms."""

    manifest: Blob
    images: tuple[Image, ...]


def files_under(directory: Path, prefix: str) -> dict[str, bytes]:
    """The regular files below `directory`, keyed by their path in the image under `prefix`."""
    return {
        str(PurePosixPath(prefix, path.relative_to(directory).as_posix())): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def build_layer(files: Mapping[str, bytes]) -> Layer:
    """Pack `files` (path in the image -> content) into one layer."""
    contents = {path.lstrip("/"): content for path, content in files.items()}
    folders = {str(parent) for path in contents for parent in PurePosixPath(path).parents} - {"."}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(folders | contents.keys()):
            _add(tar, path, contents.get(path))
    packed = buffer.getvalue()
    return Layer(blob=Blob(LAYER, gzip.compress(packed, compresslevel=6, mtime=0)), diff_id=sha256(packed))


def build_image(layers: Sequence[Layer], config: ImageConfig) -> Image:
    """Join `layers`, the lowest first, and `config` to an image."""
    config_blob = _json_blob(CONFIG, config.to_document([layer.diff_id for layer in layers]))
    manifest = _json_blob(
        MANIFEST,
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config_blob.to_descriptor(),
            "layers": [layer.blob.to_descriptor() for layer in layers],
        },
    )
    return Image(platform=config.platform, manifest=manifest, config=config_blob, layers=tuple(layers))


def build_index(images: Sequence[Image]) -> Index:
    """Put one image per platform behind one reference."""
    manifests = [
        image.manifest.to_descriptor()
        | {"platform": {"architecture": image.platform.architecture, "os": image.platform.os}}
        for image in images
    ]
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
    return Index(manifest=_json_blob(INDEX, document), images=tuple(images))


def write_layout(target: Image | Index, directory: Path, tag: str) -> None:
    """Write an OCI image layout that `skopeo copy oci:DIRECTORY:TAG …` reads."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    images = target.images if isinstance(target, Index) else (target,)
    for blob in (target.manifest, *(blob for image in images for blob in (image.manifest, *image.blobs))):
        (blobs / blob.digest.removeprefix("sha256:")).write_bytes(blob.content)
    entry = target.manifest.to_descriptor() | {"annotations": {"org.opencontainers.image.ref.name": tag}}
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


def sample_app_image(version: str, base: Literal["full", "slim"]) -> Image:
    """The sample app over a stand-in for a Python base image.

    The stand-in is a part of this machine's standard library and no operating system: such an image can be pushed,
    pulled and inspected like any other, but not run. `app-sample/Dockerfile` makes the one that runs.
    """
    names = ("main.py", "requirements.txt")
    app = build_layer({f"/app/{name}": (SAMPLE_APP / name).read_bytes() for name in names})
    config = ImageConfig(
        entrypoint=("python3", "-m", "uvicorn", "main:app"),
        cmd=("--host", "0.0.0.0", "--port", str(SAMPLE_PORT)),  # noqa: S104 - inside a container
        env={"APP_VERSION": version},
        user=SAMPLE_USER,
        port=SAMPLE_PORT,
        working_dir="/app",
        labels={
            "org.opencontainers.image.version": version,
            "org.opencontainers.image.description": "Sample app over a stand-in base layer: to inspect, not to run",
        },
    )
    return build_image([build_layer(_stand_in_base(base)), app], config)


def _stand_in_base(base: Literal["full", "slim"]) -> dict[str, bytes]:
    library = Path(sysconfig.get_path("stdlib"))
    paths = library.glob("*.py") if base == "full" else (library / name for name in SLIM_MODULES)
    return {f"/usr/lib/python3/{path.name}": path.read_bytes() for path in paths}


def _add(tar: tarfile.TarFile, path: str, content: bytes | None) -> None:
    entry = tarfile.TarInfo(path)
    if content is None:
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(entry)
    else:
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))


def _json_blob(media_type: str, document: Mapping[str, Any]) -> Blob:
    return Blob(media_type, json.dumps(document, separators=(",", ":")).encode())
