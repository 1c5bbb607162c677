"""What `.ci/run` prints besides the tests' own answers."""

import shutil
import subprocess
from pathlib import Path

_ROOT = Path(__file__).parents[1]


def test_the_sandbox_is_measured_by_the_service(tmp_path: Path) -> None:
    files = {
        "sandbox/aws/ecr.py": '"""Doc."""\n\n# why\nA = 1\nB = 2  # what\n',
        "service/base/clock.py": "A = 1\n    # indented\n\n",
        "api/app.py": "A = 1\n",
        "sandbox/README.md": "not Python\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / ".ci").mkdir()
    script = shutil.copy(_ROOT / ".ci/lines", tmp_path / ".ci")
    done = subprocess.run([script], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    assert done.stdout == "sandbox: 3 lines, 1.50 for each of the service (2)\n"


def test_it_is_measured_in_each_run() -> None:
    assert ".ci/lines" in (_ROOT / ".ci/run").read_text().splitlines()
