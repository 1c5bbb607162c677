"""Pages of lists: what is on one, and the opaque cursor by which the next one is asked for."""

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select

from service.base.errors import FieldError, InvalidError, ParameterError
from service.base.untrusted import read_json

_Item = TypeVar("_Item")


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


_WithId = TypeVar("_WithId", bound=_Identified)


def newest_first(query: Select[Any], row_id: ColumnElement[str], cursor: str | None, limit: int) -> Select[Any]:
    """The rows of a page and one more, for `cut_by_id`: ids made later sort later.

    :raises ParameterError: the cursor is not one of this list.
    """
    if cursor:
        query = query.where(row_id < _id_in(cursor))
    return query.order_by(row_id.desc()).limit(limit + 1)


def cut_by_id(rows: Sequence[_WithId], limit: int) -> tuple[list[_WithId], str | None]:
    """The items of a page that `newest_first` has asked for, and the cursor of the next; None: this is the last."""
    return cut(rows, limit, lambda last: {"after": last.id})


def cut(
    rows: Sequence[_Item], limit: int, position_of: Callable[[_Item], dict[str, Any]]
) -> tuple[list[_Item], str | None]:
    """The items of a page, of which one more than fits was asked for, and the cursor of the next.

    :param position_of: what tells where the list goes on after an item.
    """
    following = encode(position_of(rows[limit - 1])) if len(rows) > limit else None
    return list(rows[:limit]), following


@contextmanager
def token_in_cursor(token: str | None) -> Iterator[None]:
    """Around a page of AWS's that is asked for by a token: if AWS does not know it, then it came in a wrong cursor.

    All else that AWS could find invalid about a page has been checked before.

    :raises ParameterError: AWS does not know the token.
    """
    try:
        yield
    except InvalidError as error:
        if token is None:
            raise
        raise refusal() from error


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


def _id_in(cursor: str) -> str:
    (last,) = decode(cursor, "after")
    try:
        return str(UUID(last))
    except (ValueError, TypeError, AttributeError):
        raise refusal() from None


def refusal() -> ParameterError:
    """For a cursor that is not ours, or that AWS no longer knows."""
    problem = FieldError("query.cursor", "not a next_cursor of this list")
    return ParameterError("The cursor is not valid.", errors=[problem])
