"""The changelog is made of fragments, and each of them says what kind of change it tells."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]


def _draft(root: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "1.2.3"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603 - ours


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """What a changelog is made of, to add to."""
    shutil.copy(_ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(_ROOT / "changes", tmp_path / "changes")
    return tmp_path


def test_every_fragment_is_told() -> None:
    done = _draft(_ROOT)
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.split())
    for fragment in (_ROOT / "changes").glob("*.md"):
        if fragment.name != "README.md":
            assert " ".join(fragment.read_text().split()) in told, fragment.name


def test_one_is_told_by_its_type_with_its_issue(sources: Path) -> None:
    (sources / "changes/+word.removed.md").write_text("This went.\n")
    (sources / "changes/12.security.md").write_text("That was open.\n")
    told = _draft(sources).stdout
    assert "## 1.2.3" in told
    assert "### Removed\n\n- This went.\n" in told
    assert "### Security\n\n- That was open. (#12)\n" in told


@pytest.mark.parametrize("name", ["+word.feature.md", "+word.md", "added.md", "word.added.md"])
def test_one_without_a_known_type_or_name_is_refused(sources: Path, name: str) -> None:
    (sources / "changes" / name).write_text("What is it?\n")
    done = _draft(sources)
    assert done.returncode != 0
    assert name.split(".", maxsplit=1)[0] in done.stderr
