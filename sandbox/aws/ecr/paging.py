"""ECR's paging: opaque tokens, 100 by default; names and paging exclude each other."""

import base64
import binascii
import json
import sqlite3
from collections.abc import Sequence
from typing import Any, TypeVar

from sandbox.aws.ecr.errors import invalid
from sandbox.aws.ecr.registry import Json, Registry

Row = TypeVar("Row")
DEFAULT_PAGE = 100


def refuse_both(asked: dict[str, Any], names: str) -> None:
    """:raises EcrError: explicit names together with paging (botocore service model, `maxResults`)."""
    if asked.get(names) and (asked.get("nextToken") or asked.get("maxResults")):
        raise invalid(f"Invalid parameter: maxResults and nextToken can't be used with {names}")


def start(asked: dict[str, Any], *, parts: int = 1) -> list[str]:
    """The key after which this page begins; empty for the first.

    :raises EcrError: the token is not one of ours.
    """
    token = asked.get("nextToken")
    if token is None:
        return []
    try:
        key = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, binascii.Error):
        key = None
    if not isinstance(key, list) or [type(part) for part in key] != [str] * parts:
        raise invalid("Invalid parameter at 'nextToken': the token is not valid")
    return key


def page(asked: dict[str, Any], rows: Sequence[Row]) -> tuple[Sequence[Row], Row | None]:
    """At most a page of rows, and the last of them where there are more."""
    most = asked.get("maxResults", DEFAULT_PAGE)
    kept = rows[:most]
    return kept, kept[-1] if len(rows) > most else None


def of_registry(registry: Registry, table: str, key: str, asked: Json) -> tuple[Sequence[sqlite3.Row], Json]:
    """A page of a registry's rows of a table, by their key, and what the answer says of the next."""
    after = start(asked)
    rows = registry.state.all(
        f"SELECT * FROM {table} WHERE account = ? AND region = ? AND {key} > ? ORDER BY {key} LIMIT ?",  # noqa: S608 - our own words
        registry.place.account,
        registry.place.region,
        after[0] if after else "",
        asked.get("maxResults", DEFAULT_PAGE) + 1,
    )
    kept, last = page(asked, rows)
    return kept, {"nextToken": token_after(last[key])} if last else {}


def token_after(*key: str) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()
