"""Opaque cursors: where the next page starts, as URL-safe text."""

import base64
import binascii
import json
from typing import Any
from uuid import UUID

from service.base.errors import FieldError, ParameterError
from service.base.untrusted import read_json


def encode(position: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(position, separators=(",", ":")).encode()).decode().rstrip("=")


def decode(cursor: str, *names: str) -> tuple[Any, ...]:
    """The values of `names` in a cursor.

    :raises ParameterError: it is not one that we gave.
    """
    try:
        position = read_json(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return tuple(position[name] for name in names)
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise refusal() from None


def decode_token(cursor: str) -> str:
    """The token of AWS in a cursor that is nothing but one.

    :raises ParameterError: it is not a cursor that we gave.
    """
    (token,) = decode(cursor, "token")
    if not isinstance(token, str):
        raise refusal()
    return token


def encode_id(last: str) -> str:
    """The position after the item with the id `last`, in a list ordered by id."""
    return encode({"after": last})


def decode_id(cursor: str) -> str:
    """The id that `encode_id` was given.

    :raises ParameterError: it is not a cursor that we gave.
    """
    (last,) = decode(cursor, "after")
    try:
        return str(UUID(last))
    except (ValueError, TypeError, AttributeError):
        raise refusal() from None


def refusal() -> ParameterError:
    """For a cursor that is not ours, or that AWS no longer knows."""
    problem = FieldError("query.cursor", "not a next_cursor of this list")
    return ParameterError("The cursor is not valid.", errors=[problem])
