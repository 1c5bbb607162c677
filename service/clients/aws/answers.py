"""Answers that are none: what a proxy before AWS says with status 200, which the SDK reads as an empty answer."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError

from service.base.untrusted import NotJsonError, read_json

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.model import OperationModel

_REDIRECT = 300
_JSON_PROTOCOLS = ("json", "rest-json")


class UnreadableAnswerError(BotoCoreError):  # type: ignore[misc] # botocore has no types
    fmt = "The answer to {operation} can't be read."


def refuse_unreadable(client: "BaseClient") -> None:
    """Let the client raise `UnreadableAnswerError` where an answer has nothing of what its operation answers."""
    client.meta.events.register("before-parse", _require_object)
    client.meta.events.register("after-call", _require_members)


def _require_object(operation_model: "OperationModel", response_dict: Mapping[str, Any], **_: object) -> None:
    is_json = operation_model.service_model.resolved_protocol in _JSON_PROTOCOLS
    if is_json and response_dict["status_code"] < _REDIRECT and not _is_object(response_dict["body"]):
        raise UnreadableAnswerError(operation=operation_model.name)


def _is_object(body: bytes) -> bool:
    try:
        return not body or isinstance(read_json(body), dict)
    except NotJsonError:
        return False


def _require_members(model: "OperationModel", parsed: Mapping[str, Any], **_: object) -> None:
    is_success = parsed["ResponseMetadata"]["HTTPStatusCode"] < _REDIRECT
    if is_success and model.output_shape is not None and not _has_any(parsed, model.output_shape.members):
        raise UnreadableAnswerError(operation=model.name)


def as_text(value: object) -> str:
    """:raises TypeError: it is none, which the SDK does not look at."""
    if not isinstance(value, str):
        raise TypeError(type(value).__name__)
    return value


def as_document(text: object) -> dict[str, Any]:
    """A document that an answer has as text.

    :raises ValueError: it is none.
    """
    document = read_json(as_text(text))
    if not isinstance(document, dict):
        raise NotJsonError("no object")
    return document


def _has_any(parsed: Mapping[str, Any], members: Mapping[str, object]) -> bool:
    return not members or any(name in parsed for name in members)
