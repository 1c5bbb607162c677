"""The overlay over ECR's model: how it is made, and that what is there is what the pinned botocore lacks."""

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from botocore.model import ServiceModel

from service.clients.aws.models import OVERLAY
from tools import overlay

PINNED: dict[str, Any] = {
    "operations": {"GetBox": {"name": "GetBox", "errors": [{"shape": "Lost"}]}},
    "shapes": {"Box": {"members": {"id": {"shape": "Id"}}}, "Colour": {"enum": ["RED"]}, "Id": {"type": "string"}},
}
NEWEST: dict[str, Any] = {
    "operations": {
        "GetBox": {"name": "GetBox", "errors": [{"shape": "Lost"}, {"shape": "Shut"}]},
        "ShutBox": {"name": "ShutBox"},
    },
    "shapes": {
        "Box": {"members": {"id": {"shape": "Id"}, "colour": {"shape": "Colour"}}},
        "Colour": {"enum": ["RED", "BLUE"]},
        "Id": {"type": "string"},
    },
}


def test_what_is_new_and_what_has_changed_is_added_down_to_the_member() -> None:
    assert overlay.additions(PINNED, NEWEST) == {
        "operations": {
            "GetBox": {"errors": [{"shape": "Lost"}, {"shape": "Shut"}]},
            "ShutBox": {"name": "ShutBox"},
        },
        "shapes": {"Box": {"members": {"colour": {"shape": "Colour"}}}, "Colour": {"enum": ["RED", "BLUE"]}},
    }
    assert overlay.additions(NEWEST, NEWEST) == {}


def test_what_is_gone_is_told_as_it_cannot_be_merged_away() -> None:
    assert overlay.removals(NEWEST, PINNED) == ["operations.ShutBox", "shapes.Box.members.colour"]
    assert overlay.removals(PINNED, NEWEST) == []


def test_prose_is_left_out_and_a_member_of_that_name_is_not() -> None:
    shape = {"documentation": "<p>", "members": {"documentation": {"shape": "Text", "documentation": "<p>"}}}
    assert overlay.without_prose(shape) == {"members": {"documentation": {"shape": "Text"}}}


def test_the_report_has_a_line_for_each_thing_that_a_newer_botocore_has(tmp_path: Path) -> None:
    wheel = tmp_path / "botocore-9.9.9-py3-none-any.whl"
    newer = {part: json.loads(json.dumps(overlay.pinned(part, overlaid=True))) for part in overlay.PARTS}
    assert overlay.report(_wheel(wheel, newer)) == []
    newer["service-2"]["operations"]["ShutRegistry"] = {"name": "ShutRegistry"}
    newer["service-2"]["shapes"]["ImageStatus"]["enum"].append("SOLD")
    del newer["paginators-1"]["pagination"]["ListImages"]
    assert overlay.report(_wheel(wheel, newer)) == [
        'operations.ShutRegistry is newer: {"name": "ShutRegistry"}',
        'shapes.ImageStatus is newer: {"enum": ["ACTIVE", "ARCHIVED", "ACTIVATING", "SOLD"]}',
        "pagination.ListImages is gone",
    ]


def test_without_a_package_index_the_report_says_so_and_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    assert (overlay.main("report"), overlay.main("write")) == (0, 1)
    assert "can be reached" in capsys.readouterr().out


@pytest.mark.parametrize("part", overlay.PARTS)
def test_the_overlay_has_nothing_that_the_pinned_botocore_has_by_itself(part: str) -> None:
    """After a new botocore has been pinned: `make overlay`."""
    extras = json.loads((OVERLAY / overlay.SERVICE / overlay.VERSION / f"{part}.sdk-extras.json").read_text())
    assert extras == {
        "version": 1.0,
        "merge": overlay.additions(overlay.pinned(part, overlaid=False), overlay.pinned(part, overlaid=True)),
    }


def test_every_shape_that_the_overlaid_model_names_is_there() -> None:
    model = overlay.pinned("service-2", overlaid=True)
    service = ServiceModel({"metadata": {}, **model})
    for name in service.operation_names:
        assert service.operation_model(name).error_shapes is not None
    named = {one["shape"] for one in _objects(model["shapes"]) if isinstance(one.get("shape"), str)}
    assert named <= set(model["shapes"])


def _objects(value: object) -> list[dict[str, Any]]:
    below = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return ([value] if isinstance(value, dict) else []) + [found for one in below for found in _objects(one)]


def _wheel(path: Path, parts: dict[str, Any]) -> Path:
    with zipfile.ZipFile(path, "w") as files:
        for part, model in parts.items():
            name = f"botocore/data/{overlay.SERVICE}/{overlay.VERSION}/{part}.json.gz"
            files.writestr(name, gzip.compress(json.dumps(model).encode()))
    return path
