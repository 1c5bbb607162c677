"""Tells the demo: each call as the curl a user would type, and the gist of its answer."""

import json
import shlex
from dataclasses import dataclass, field
from typing import Any

import httpx
import typer


class StoryError(Exception):
    """A step did not do what it should."""


@dataclass
class Narrator:
    """Speaks HTTP with the service and prints both sides. URL and key are shown by the names of the README."""

    url: str
    key: str
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=60)

    def chapter(self, title: str) -> None:
        typer.secho(f"\n{title}", bold=True)

    def say(self, text: str) -> None:
        typer.echo(f"  {text}")

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,  # noqa: ANN401 - any JSON
        *,
        expect: int,
        headers: dict[str, str] | None = None,
        gist: tuple[str, ...] = (),
    ) -> httpx.Response:
        """Make a call, print it and the fields of its answer that `gist` names.

        :raises StoryError: the status is not the one expected.
        """
        typer.secho(f"  $ {_as_curl(method, path, body, headers)}", fg="cyan")
        answer = self.client.request(method, path, json=body, headers=headers)
        self.say(f"-> {answer.status_code} {_gist(answer, gist)}")
        self.check(answer.status_code == expect, f"expected {expect}: {answer.text}")
        return answer

    def check(self, holds: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as the assertion it is
        if not holds:
            raise StoryError(otherwise)


def _as_curl(method: str, path: str, body: Any, headers: dict[str, str] | None) -> str:  # noqa: ANN401 - as above
    words = ["curl", "-sS", "--fail-with-body"] + (
        ["-X", method] if method not in ("GET", "POST") or body is None != (method == "GET") else []
    )
    words += ["-H", "$AUTH"]
    for name, value in (headers or {}).items():
        words += ["-H", f"{name}: {value}"]
    if body is not None:
        words += ["--json", json.dumps(body)]
    return " ".join(_quote(word) for word in words) + f' "$URL{path}"'


def _quote(word: str) -> str:
    return f'"{word}"' if "$AUTH" in word else shlex.quote(word)


def _gist(answer: httpx.Response, names: tuple[str, ...]) -> str:
    if not answer.content or "json" not in answer.headers.get("content-type", ""):
        return ""
    document = answer.json()
    if answer.is_error:
        return f"{document['code']}: {document['detail']}"
    return ", ".join(f"{name}={_short(document.get(name))}" for name in names)


def _short(value: Any) -> str:  # noqa: ANN401 - as above
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 100 else text[:97] + "..."  # noqa: PLR2004 - about a line
