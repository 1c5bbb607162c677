"""What goes wrong around one AWS call, in errors of ours."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from aiohttp import ClientConnectorError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ProxyConnectionError,
    SSLError,
)

from service.base.errors import AnswerLostError, AwsUnavailableError, WharfingerError
from service.clients.aws.errors import credentials_missing, from_client_error
from service.clients.aws.reads import READS

log = structlog.get_logger()

_UNREADABLE = (AttributeError, LookupError, TypeError, ValueError)
"""What the SDK, or who reads its answer, raises where members are missing or of other types than AWS's model has."""


@contextmanager
def translated(operation: str, **subject: str) -> Iterator[None]:
    """Around one AWS call and all that is read of its answer: turns what goes wrong into errors of ours.

    :param subject: what their text names.
    :raises AnswerLostError: it was sent, may have changed something, and no answer came that can be read.
    :raises WharfingerError: as `ERRORS` maps the code.
    """
    try:
        yield
    except ClientError as error:
        raise from_client_error(error, subject) from error
    except NoCredentialsError as error:
        raise credentials_missing() from error
    except ParamValidationError:
        raise  # a defect of ours, refused by the SDK: nothing was sent, so no answer is lost
    except BotoCoreError as error:
        if is_never_connected(error):
            raise AwsUnavailableError("AWS could not be reached.", retry_after=5) from error
        raise without_answer(operation) from error
    except _UNREADABLE as error:
        log.warning("aws_answer_unreadable", operation=operation, exc_info=error)
        raise without_answer(operation) from error


def is_never_connected(error: Exception) -> bool:
    """Whether nothing was sent. aiobotocore has one error for that and for a connection that was reset after."""
    if isinstance(error, EndpointConnectionError | SSLError):
        return isinstance(error.__context__, ClientConnectorError | socket.gaierror)
    return isinstance(error, ConnectTimeoutError | ProxyConnectionError)


def without_answer(operation: str) -> WharfingerError:
    if operation in READS:
        return AwsUnavailableError("AWS did not answer in time, or not as it should.", retry_after=5)
    return AnswerLostError(f"AWS's answer to {operation} was lost.", retry_after=5)
