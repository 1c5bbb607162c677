"""What is read from a manifest, and how the source of a tag may be written."""

import json

import pytest
from pydantic import ValidationError

from service.clients.oci.manifests import Manifest
from service.models.images import ImageTagging
from service.models.references import Reference

DIGEST = "sha256:" + "a" * 64


def manifest(document: object) -> Manifest:
    return Manifest(DIGEST, json.dumps(document), None)


def test_layers_come_in_the_order_of_the_manifest() -> None:
    layers = [
        {"digest": f"sha256:{digit * 64}", "size": size, "mediaType": "x"} for digit, size in (("b", 2), ("a", 1))
    ]
    found = manifest({"layers": layers})
    assert [(one.digest[7], one.size_bytes) for one in found.layers] == [("b", 2), ("a", 1)]
    assert found.platforms is None


def test_platforms_of_an_index_are_named_once_and_without_attestations() -> None:
    platforms = [
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "arm64", "variant": "v8"},
        {"os": "linux", "architecture": "amd64"},
        {"os": "unknown", "architecture": "unknown"},
    ]
    found = manifest({"manifests": [{"digest": DIGEST, "platform": one} for one in platforms] + [{"digest": DIGEST}]})
    assert found.platforms == ("linux/amd64", "linux/arm64/v8")
    assert found.layers == ()


@pytest.mark.parametrize("platform", [None, {}, "linux", {"os": "linux"}, {"architecture": "amd64"}, {"os": ""}])
def test_a_platform_that_is_none_is_left_out(platform: object) -> None:
    beside = {"digest": DIGEST, "platform": {"os": "linux", "architecture": "amd64"}}
    found = manifest({"manifests": [{"digest": DIGEST, "platform": platform}, beside, 5]})
    assert found.platforms == ("linux/amd64",)


def test_of_a_layer_the_digest_alone_is_needed() -> None:
    layers = [{"digest": DIGEST}, {"digest": DIGEST, "size": -6, "mediaType": None}, {"size": 1}, "x"]
    found = manifest({"layers": layers, "config": 3})
    assert [(one.digest, one.size_bytes) for one in found.layers] == [(DIGEST, 0), (DIGEST, 0)]
    assert found.config_digest is None


@pytest.mark.parametrize("document", [[], 1, None, {"manifests": None}, {"layers": {}, "config": None}])
def test_what_lists_nothing_has_nothing(document: object) -> None:
    found = manifest(document)
    assert (found.layers, found.platforms or ()) == ((), ())


@pytest.mark.parametrize(
    ("source", "reference"),
    [
        ("0.0.1", Reference("team/app", "0.0.1", None)),
        (DIGEST, Reference("team/app", None, DIGEST)),
        ("other:1", Reference("other", "1", None)),
        (f"other@{DIGEST}", Reference("other", None, DIGEST)),
    ],
)
def test_a_source_without_a_repository_is_of_the_same_one(source: str, reference: Reference) -> None:
    assert ImageTagging(source=source).within("team/app") == reference


@pytest.mark.parametrize(
    "source", ["", "team/app", "sha256:abc", "team/app@0.0.1", "a b", "-1", "0.0.1\n", f"@{DIGEST}"]
)
def test_a_source_that_names_no_image_is_refused(source: str) -> None:
    with pytest.raises(ValidationError):
        ImageTagging(source=source)
