"""The README's commands: by the names that the demo prints, and such that a pipeline sees a refusal and why."""

import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_KNOWN = {"URL", "AUTH", "KEY", "IMAGE", "1"}
_READMES = [_ROOT / "README.md", _ROOT / "deploy/kubernetes/README.md"]


def _commands(readme: Path) -> list[str]:
    """Each line of its shell blocks that asks the service, with those that it goes on in."""
    blocks = re.findall(r"```sh\n(.*?)```", readme.read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line.strip() for line in lines if "curl " in line]


@pytest.mark.parametrize("readme", _READMES, ids=lambda path: str(path.relative_to(_ROOT)))
def test_each_command_fails_with_the_body_and_uses_the_names_of_the_demo(readme: Path) -> None:
    commands = _commands(readme)
    assert commands
    for command in commands:
        assert command.count("curl ") == command.count("curl -sS --fail-with-body "), command
        assert '-H "$AUTH"' in command, command
        assert "$URL/v1/" in command, command
        assert set(re.findall(r"\$\{?(\w+)", command)) <= _KNOWN, command


def test_it_has_a_way_without_a_container_engine() -> None:
    readme = (_ROOT / "README.md").read_text()
    assert "docker push" in readme
    assert "buildah push" in readme
