"""Opaque cursors: where the next page starts, as URL-safe text."""

import base64
import binascii
import json
from typing import Any

from service.errors import FieldError, ParameterError


def encode(position: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(position, separators=(",", ":")).encode()).decode().rstrip("=")


def decode(cursor: str, *names: str) -> tuple[Any, ...]:
    """The values of `names` in a cursor.

    :raises ParameterError: it is not one that we gave.
    """
    try:
        position = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return tuple(position[name] for name in names)
    except (binascii.Error, ValueError, KeyError, TypeError):
        problem = FieldError("query.cursor", "not a next_cursor of this list")
        raise ParameterError("The cursor is not valid.", errors=[problem]) from None
