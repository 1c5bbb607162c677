"""ECR as the newest botocore has it, laid over the pinned one: `write` makes the overlay, `report` says what it lacks.

aiobotocore pins botocore, and that lags some months behind what AWS has added. An overlay adds operations, shapes and
members, and replaces lists such as enums; it can't take anything away. What is gone from the newest model is reported.
"""

import gzip
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.loaders import Loader

from service.clients.aws.models import OVERLAY

Model = Mapping[str, Any]
SERVICE, VERSION = "ecr", "2015-09-21"
PARTS = {"service-2": ("operations", "shapes"), "paginators-1": ("pagination",)}
"""The files of a model that an overlay adds to, and the sections of each."""


def additions(there: Model, newest: Model) -> dict[str, Any]:
    """What has to be merged into a model to have all of the newest, down to the members that differ."""
    added: dict[str, Any] = {}
    for name, value in newest.items():
        if name not in there:
            added[name] = value
        elif isinstance(value, dict) and isinstance(there[name], dict):
            if below := additions(there[name], value):
                added[name] = below
        elif value != there[name]:
            added[name] = value
    return added


def removals(there: Model, newest: Model, at: str = "") -> list[str]:
    """The paths of what a model has and the newest has not."""
    gone: list[str] = []
    for name, value in there.items():
        path = f"{at}.{name}" if at else name
        if name not in newest:
            gone.append(path)
        elif isinstance(value, dict) and isinstance(newest[name], dict):
            gone += removals(value, newest[name], path)
    return gone


def without_prose(value: Any) -> Any:  # noqa: ANN401 - JSON
    """A model's facts without its documentation."""
    if isinstance(value, dict):
        # A member may be called so too, and is no text.
        return {
            name: without_prose(one)
            for name, one in value.items()
            if name != "documentation" or not isinstance(one, str)
        }
    return [without_prose(one) for one in value] if isinstance(value, list) else value


def pinned(part: str, *, overlaid: bool) -> Model:
    """A part of the model of the botocore that is installed."""
    loader = Loader(extra_search_paths=[str(OVERLAY)] if overlaid else [])
    return _facts(loader.load_service_model(SERVICE, part), part)


def in_wheel(wheel: Path, part: str) -> Model:
    """A part of the model in a wheel of botocore."""
    with zipfile.ZipFile(wheel) as files:
        [name] = [one for one in files.namelist() if f"data/{SERVICE}/{VERSION}/{part}.json" in one]
        content = files.read(name)
    return _facts(json.loads(gzip.decompress(content) if name.endswith(".gz") else content), part)


def write(wheel: Path) -> None:
    """Write the overlay that a wheel asks for."""
    for part in PARTS:
        merge = additions(pinned(part, overlaid=False), in_wheel(wheel, part))
        file = OVERLAY / SERVICE / VERSION / f"{part}.sdk-extras.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"version": 1.0, "merge": merge}, separators=(",", ":"), sort_keys=True) + "\n")


def report(wheel: Path) -> list[str]:
    """A line for each operation, shape and paginator that is otherwise in a wheel than in ours; none: all is there."""
    lines: list[str] = []
    for part in PARTS:
        ours, newest = pinned(part, overlaid=True), in_wheel(wheel, part)
        for section, names in additions(ours, newest).items():
            lines += [f"{section}.{name} is newer: {json.dumps(one)}" for name, one in names.items()]
        lines += [f"{path} is gone" for path in removals(ours, newest)]
    return lines


def download(folder: Path) -> Path:
    """:raises CalledProcessError: no package index can be reached."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), "botocore"]
    subprocess.run(command, check=True)  # noqa: S603 - ours
    [wheel] = folder.glob("botocore-*.whl")
    return wheel


def _facts(model: Model, part: str) -> Model:
    return {section: without_prose(model[section]) for section in PARTS[part]}


def main(command: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        try:
            wheel = download(Path(folder))
        except subprocess.CalledProcessError:
            sys.stdout.write("No package index can be reached, so the newest botocore is not known.\n")
            return command == "write"
        if command == "write":
            write(wheel)
        lines = report(wheel)
        sys.stdout.write("\n".join([*lines, f"{wheel.name}: {len(lines)} differences"]) + "\n")
    return 0


if __name__ == "__main__":
    if sys.argv[1:] not in (["write"], ["report"]):
        sys.exit("usage: python -m tools.overlay write|report")
    sys.exit(main(sys.argv[1]))
