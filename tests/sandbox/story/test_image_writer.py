"""The image writer: what it writes is what the OCI specifications say, and what a real client reads."""

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from sandbox.story.image_writer import (
    Image,
    ImageConfig,
    Platform,
    build_image,
    build_index,
    build_layer,
    files_under,
    sample_app_image,
    write_layout,
)

FILES = {"/app/main.py": b"print('hello')\n", "/app/static/logo.svg": b"<svg/>", "/etc/motd": b"hi\n"}


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def image(architecture: str = "amd64") -> Image:
    config = ImageConfig(
        platform=Platform(architecture=architecture),
        entrypoint=("python3", "/app/main.py"),
        cmd=("--verbose",),
        env={"APP_VERSION": "1"},
        user="10001:10001",
        port=8080,
        working_dir="/app",
        labels={"team": "a"},
    )
    return build_image([build_layer(FILES), build_layer({"/app/VERSION": architecture.encode()})], config)


def skopeo(*arguments: str) -> Any:  # noqa: ANN401 - parsed JSON, or None
    done = subprocess.run(  # noqa: S603 - our own arguments
        ["skopeo", "--insecure-policy", *arguments],  # noqa: S607 - found on PATH, as a user has it
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if arguments[0] == "inspect" else None


def test_a_layer_holds_the_files_and_their_folders_in_order_owned_by_root_and_undated() -> None:
    packed = gzip.decompress(build_layer(FILES).blob.content)
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        members = tar.getmembers()
        contents = {f"/{m.name}": tar.extractfile(m).read() for m in members if m.isfile()}  # type: ignore[union-attr]
    assert [m.name for m in members] == [
        "app",
        "app/main.py",
        "app/static",
        "app/static/logo.svg",
        "etc",
        "etc/motd",
    ]
    assert contents == FILES
    assert {(m.uid, m.gid, m.mtime) for m in members} == {(0, 0, 0)}
    assert {(m.isdir(), m.mode) for m in members} == {(True, 0o755), (False, 0o644)}


def test_the_same_files_in_another_order_give_the_same_layer() -> None:
    assert build_layer(FILES) == build_layer(dict(reversed(FILES.items())))


def test_the_manifest_names_every_blob_by_its_digest_and_size() -> None:
    built = image()
    manifest = json.loads(built.manifest.content)
    assert built.manifest.digest == digest(built.manifest.content)
    assert manifest["mediaType"] == built.manifest.media_type == "application/vnd.oci.image.manifest.v1+json"
    for descriptor, blob in zip([*manifest["layers"], manifest["config"]], built.blobs, strict=True):
        assert descriptor == {
            "mediaType": blob.media_type,
            "digest": digest(blob.content),
            "size": len(blob.content),
        }


def test_the_configuration_tells_how_to_run_it_and_the_layers_uncompressed_digests() -> None:
    built = image()
    assert json.loads(built.config.content) == {
        "created": "1970-01-01T00:00:00Z",
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "User": "10001:10001",
            "ExposedPorts": {"8080/tcp": {}},
            "Env": ["APP_VERSION=1"],
            "Entrypoint": ["python3", "/app/main.py"],
            "Cmd": ["--verbose"],
            "WorkingDir": "/app",
            "Labels": {"team": "a"},
        },
        "rootfs": {
            "type": "layers",
            "diff_ids": [digest(gzip.decompress(layer.blob.content)) for layer in built.layers],
        },
    }


def test_files_under_a_folder_are_keyed_by_their_path_in_the_image(tmp_path: Path) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "main.py").write_bytes(b"1")
    (tmp_path / "static" / "logo.svg").write_bytes(b"2")
    assert files_under(tmp_path, "/app") == {"/app/main.py": b"1", "/app/static/logo.svg": b"2"}


@pytest.mark.needs("skopeo")
def test_skopeo_reads_a_layout(tmp_path: Path) -> None:
    built = image()
    write_layout(built, tmp_path / "layout", "1.0")
    seen = skopeo("inspect", f"oci:{tmp_path}/layout:1.0")
    assert seen["Digest"] == built.manifest.digest
    assert seen["Layers"] == [layer.blob.digest for layer in built.layers]
    assert (seen["Architecture"], seen["Os"], seen["Labels"]) == ("amd64", "linux", {"team": "a"})
    skopeo("copy", f"oci:{tmp_path}/layout:1.0", f"dir:{tmp_path}/copy")  # checks each blob against its digest


@pytest.mark.needs("skopeo")
def test_skopeo_picks_a_platform_out_of_an_index(tmp_path: Path) -> None:
    index = build_index([image("amd64"), image("arm64")])
    write_layout(index, tmp_path, "1.0")
    seen = skopeo("inspect", "--override-arch=arm64", f"oci:{tmp_path}:1.0")
    assert seen["Architecture"] == "arm64"
    assert seen["Layers"] == [layer.blob.digest for layer in index.images[1].layers]


def test_the_sample_apps_second_version_is_smaller_and_shares_the_apps_layer() -> None:
    first, second = sample_app_image("0.0.1", "full"), sample_app_image("0.0.2", "slim")
    sizes = [sum(len(layer.blob.content) for layer in built.layers) for built in (first, second)]
    assert sizes[1] < sizes[0] / 10
    assert first.layers[1] == second.layers[1]
    assert first.manifest.digest != second.manifest.digest


def test_the_sample_apps_image_says_that_its_base_is_a_stand_in() -> None:
    config = json.loads(sample_app_image("0.0.1", "slim").config.content)["config"]
    assert "stand-in" in config["Labels"]["org.opencontainers.image.description"]
    assert config["Env"] == ["APP_VERSION=0.0.1"]
    assert config["User"] == "10001:10001"
