"""The pages for people: what they link to, and the files that they name, are there."""

import ast
import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_FILE = re.compile(r"`((?:[\w.-]+/)+(?:[\w-]+\.(?:py|txt|md|json|yaml|sh))?)(?:::(\w+))?`")
"""A path of a folder at least, with a slash at its end or a file's name: `service/gates/`, `tests/test_wheel.py`."""


_OURS = (_ROOT.glob("*.md"), *((_ROOT / folder).rglob("*.md") for folder in ("changes", "deploy", "docs", "sandbox")))
_PAGES = sorted(str(page.relative_to(_ROOT)) for pages in _OURS for page in pages)


@pytest.mark.parametrize("page", _PAGES)
def test_what_a_page_links_to_is_there(page: str) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", (_ROOT / page).read_text())
    local = [link.partition("#")[0] for link in links if "://" not in link and not link.startswith("#")]
    assert [link for link in local if not ((_ROOT / page).parent / link).exists()] == []


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md"])
def test_the_files_that_it_names_are_there(page: str) -> None:
    named = _FILE.findall((_ROOT / page).read_text())
    assert named
    assert [path for path, _ in named if not (_ROOT / path).exists()] == []
    assert [(path, name) for path, name in named if name and f"{name}(" not in (_ROOT / path).read_text()] == []


@pytest.mark.parametrize("folder", ["api", "service", "sandbox"])
def test_every_area_says_what_belongs_there(folder: str) -> None:
    areas = sorted((_ROOT / folder).rglob("__init__.py"))
    assert areas
    assert [str(area) for area in areas if not ast.get_docstring(ast.parse(area.read_text()))] == []
