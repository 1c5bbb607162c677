"""The README: its table has all settings; its commands use the demo's names, and show a pipeline why it is refused."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from service.base.settings import Settings

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


def _settings(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _settings(field.annotation, f"{name}.")
        else:
            yield prefix + name


def _in_the_table() -> Iterator[str]:
    """The names of its first column; one that begins with a dot is of the section before it."""
    _, _, page = (_ROOT / "README.md").read_text().partition("## Settings")
    for cell in re.findall(r"^\| (`[^|]*) \|", page.partition("\n## ")[0], re.MULTILINE):
        section = ""
        for name in re.findall(r"`([^`]+)`", cell):
            section = section if name.startswith(".") else name.partition(".")[0]
            yield (section + name if name.startswith(".") else name).replace("[]", "")


def test_every_setting_is_in_its_table() -> None:
    assert {name for name in _in_the_table() if name != "clusters.namespaces"} == set(_settings(Settings))
