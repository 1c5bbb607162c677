"""What stands before every request to AWS: no change without an open operation, none sent again that could do harm."""

from typing import TYPE_CHECKING, Any

from service.base.errors import DeadlineError
from service.base.permits import permit
from service.clients.aws.errors import is_throttle
from service.clients.aws.reads import HARMLESS_TWICE, MAY_IMPORT, READS
from service.clients.aws.translation import is_never_connected, without_answer

if TYPE_CHECKING:
    from botocore.awsrequest import AWSRequest
    from botocore.model import OperationModel

OPERATION_IN_USER_AGENT = "wharfinger-operation/"
_SERVER_ERROR = 500
_SUCCESS = range(200, 300)


class UnrecordedCallError(RuntimeError):
    """A mutating AWS call was about to be made outside an open operation: a defect of ours, and nothing was sent."""


def guard(events: Any) -> None:  # noqa: ANN401 - botocore has no types
    """Stand before the requests of a client, by its events."""
    events.register("before-call", _require_permit)
    # botocore builds the User-Agent anew for every attempt, as the last that is done to it.
    events.register_last("request-created", _name_operation)
    # Before botocore's own, which would retry.
    events.register_first("needs-retry", _note_doubt)


def _require_permit(model: "OperationModel", **_: object) -> None:
    if model.name in READS:
        return
    current = permit.get()
    if current is None:
        raise UnrecordedCallError(f"{model.name} outside an open operation")
    current.require_time()
    current.is_sent = True
    current.is_doubtful = False


def _name_operation(request: "AWSRequest", operation_name: str, **_: object) -> None:
    """CloudTrail keeps the User-Agent, so its events and the audit trail can be joined."""
    current = permit.get()
    if current is not None and (operation_name not in READS or operation_name in MAY_IMPORT):
        current.require_time()
        named = f"{request.headers['User-Agent']} {OPERATION_IN_USER_AGENT}{current.operation_id}"
        request.headers.replace_header("User-Agent", named)


def _note_doubt(
    operation: "OperationModel",
    response: Any,  # noqa: ANN401 - botocore's own type
    caught_exception: Exception | None,
    **_: object,
) -> None:
    """Judge one attempt.

    :raises AnswerLostError: there was no definite answer, and to send it again could do harm.
    :raises DeadlineError: it was not sent, as its time was over.
    """
    if caught_exception is not None and isinstance(held_back := caught_exception.__context__, DeadlineError):
        raise held_back  # which aiobotocore took for trouble with the connection
    current = permit.get()
    if current is None or operation.name in READS:
        return
    if _is_without_answer(response, caught_exception):
        current.is_doubtful = True
        if operation.name not in HARMLESS_TWICE:
            raise without_answer(operation.name) from caught_exception
    elif response is not None and response[0].status_code in _SUCCESS:
        current.is_doubtful = False


def _is_without_answer(response: Any, caught_exception: Exception | None) -> bool:  # noqa: ANN401 - botocore's own type
    if caught_exception is not None:
        return not is_never_connected(caught_exception)
    answer, parsed = response
    code = str(parsed.get("Error", {}).get("Code", ""))
    return bool(answer.status_code >= _SERVER_ERROR) and not is_throttle(answer.status_code, code)
