"""What is installed: the service, and nothing that is for trying and testing it."""

import subprocess
import sys
import zipfile
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_INSTALLED = {"api", "service", "migrations"}


def test_the_wheel_has_the_service_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=_ROOT, check=True, capture_output=True)  # noqa: S603 - ours
    [wheel] = tmp_path.glob("*.whl")
    archive = zipfile.ZipFile(wheel)
    names = [Path(name) for name in archive.namelist()]
    tops = {name.parts[0] for name in names if not name.parts[0].endswith(".dist-info")}
    assert tops == _INSTALLED
    assert not [name for name in names if name.name == "ruff.toml"]
    [metadata] = [name for name in names if name.name == "METADATA"]
    assert archive.read(str(metadata.parent / "licenses/LICENSE")) == (_ROOT / "LICENSE").read_bytes()
    assert "License-Expression: Apache-2.0\n" in archive.read(str(metadata)).decode()
    assert Path("migrations/versions/0001_the_first_tables.py") in names
    assert Path("service/clients/aws/models/ecr/2015-09-21/service-2.sdk-extras.json") in names


def test_the_image_is_built_without_the_sandbox() -> None:
    copied = [line for line in (_ROOT / "Dockerfile").read_text().splitlines() if line.startswith("COPY")]
    ignored = (_ROOT / ".dockerignore").read_text().split()
    assert copied
    assert not [line for line in copied if "sandbox" in line]
    assert "*" in ignored
    assert "!sandbox" not in ignored


def test_the_locks_name_no_address() -> None:
    for lock in _ROOT.glob("requirements*.lock"):
        assert "://" not in lock.read_text(), lock.name
