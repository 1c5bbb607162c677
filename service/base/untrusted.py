"""JSON that a stranger wrote: whoever may push an image, or send a cursor, chooses its depth and its numbers."""

from typing import Any

from pydantic_core import from_json


class NotJsonError(ValueError):
    """It is no JSON, or deeper than any that is meant: nesting has an end at 200."""


def read_json(content: str | bytes) -> Any:  # noqa: ANN401 - whatever JSON may hold
    """:raises NotJsonError: it can't be read."""
    try:
        return from_json(content, allow_inf_nan=False)
    except ValueError as error:
        raise NotJsonError(str(error)) from None
