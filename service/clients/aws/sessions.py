"""How AWS is spoken to: sessions and clients opened once per process, one guard, one place for retries.

Nothing outside this package knows botocore.
"""

import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import structlog
from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentialResolver, AioCredentials
from aiobotocore.session import AioSession, ClientCreatorContext
from aiohttp import ClientConnectorError
from botocore.credentials import ReadOnlyCredentials
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

from service.base.clock import utcnow
from service.base.errors import AnswerLostError, AwsUnavailableError, DeadlineError, WharfingerError
from service.base.settings import DeadlineSettings, RegistrySettings
from service.clients.aws.answers import refuse_unreadable
from service.clients.aws.assumed import Assumed
from service.clients.aws.errors import credentials_missing, from_client_error, is_throttle
from service.clients.aws.on_first_use import OnFirstUse
from service.clients.aws.telemetry import count_calls

if TYPE_CHECKING:
    from botocore.awsrequest import AWSRequest
    from botocore.model import OperationModel
    from types_aiobotocore_ecr import ECRClient
    from types_aiobotocore_eks import EKSClient
    from types_aiobotocore_sts import STSClient
    from types_aiobotocore_sts.type_defs import CredentialsTypeDef

READS = frozenset(
    {
        "BatchGetImage",
        "DescribeCluster",
        "DescribeFargateProfile",
        "DescribeImages",
        "DescribeNodegroup",
        "DescribeRegistry",
        "DescribeRepositories",
        "GetAccountSetting",
        "GetCallerIdentity",
        "GetDownloadUrlForLayer",
        "GetPolicy",
        "GetPolicyVersion",
        "GetRepositoryPolicy",
        "GetRole",
        "GetRolePolicy",
        "ListAttachedRolePolicies",
        "ListFargateProfiles",
        "ListImages",
        "ListNodegroups",
        "ListRolePolicies",
        "ListTagsForResource",
        "LookupEvents",
    }
)
"""Operations that change nothing and give nothing away. What is not in this list needs an open operation."""

HARMLESS_TWICE = frozenset({"AssumeRole", "CreateRepository", "GetAuthorizationToken"})
"""Changes that may be sent again though an attempt had no answer: AWS refuses to create twice, and a credential that
was lost is of no use to anybody. Any other would undo what somebody else did since the attempt that AWS acted on."""

SESSION_NAME = "wharfinger"
OPERATION_IN_USER_AGENT = "wharfinger-operation/"
_UNREADABLE = (AttributeError, LookupError, TypeError, ValueError)
"""What the SDK, or who reads its answer, raises where members are missing or of other types than AWS's model has."""
_SERVER_ERROR = 500
_SUCCESS = range(200, 300)

log = structlog.get_logger()


class UnrecordedCallError(RuntimeError):
    """A mutating AWS call was about to be made outside an open operation: a defect of ours, and nothing was sent."""


@dataclass(slots=True)
class Permit:
    """Leave to change something at AWS, given by an open operation, and what became of the requests it let through."""

    operation_id: str
    until: datetime | None = None
    """A process that slept past it must send nothing, as a sweep may have settled the operation. By the clock that the
    sweep goes by: the loop's does not count what a suspended machine sleeps. None: a step of a rollout, whose row no
    sweep settles; its lease and the object's resourceVersion hold it back."""
    applied: Sequence[str] = ()
    """What an operation before, under the same key, did already: this one continues it."""
    is_sent: bool = False
    is_doubtful: bool = False
    """An attempt of the last call ended without a definite answer, so AWS may have acted on it or may still."""


permit: ContextVar[Permit | None] = ContextVar("permit", default=None)


@contextmanager
def translated(operation: str, **subject: str) -> Iterator[None]:
    """Around one AWS call and all that is read of its answer: turns what goes wrong into errors of ours.

    :param subject: what their text names.
    :raises AnswerLostError: it was sent, may have changed something, and no answer came that can be read.
    :raises WharfingerError: as `aws_errors` maps the code.
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
        if _is_never_connected(error):
            raise AwsUnavailableError("AWS could not be reached.", retry_after=5) from error
        raise _without_answer(operation) from error
    except _UNREADABLE as error:
        log.warning("aws_answer_unreadable", operation=operation, exc_info=error)
        raise _without_answer(operation) from error


def _is_never_connected(error: Exception) -> bool:
    """Whether nothing was sent. aiobotocore has one error for that and for a connection that was reset after."""
    if isinstance(error, EndpointConnectionError | SSLError):
        return isinstance(error.__context__, ClientConnectorError | socket.gaierror)
    return isinstance(error, ConnectTimeoutError | ProxyConnectionError)


def _without_answer(operation: str) -> WharfingerError:
    if operation in READS:
        return AwsUnavailableError("AWS did not answer in time, or not as it should.", retry_after=5)
    return AnswerLostError(f"AWS's answer to {operation} was lost.", retry_after=5)


@dataclass(frozen=True, slots=True)
class RegistryClients:
    """The clients of one registry under its role, and one of ECR's under what is `lent` to it."""

    settings: RegistrySettings
    session: Assumed | None
    """None: the process's own identity, which the SDK alone renews."""
    ecr: "ECRClient"
    sts: "STSClient"
    lent_ecr: "ECRClient"
    eks: "EKSClient"
    iam: OnFirstUse
    cloudtrail: OnFirstUse


class Aws:
    """Opens the clients of every registry once. Close it when the process ends."""

    def __init__(self, registries: Sequence[RegistrySettings], deadlines: DeadlineSettings) -> None:
        self._registries = registries
        self._config = AioConfig(
            connect_timeout=deadlines.aws_connect.total_seconds(),
            read_timeout=deadlines.aws_read.total_seconds(),
            retries={"mode": "standard", "total_max_attempts": deadlines.aws_attempts},
            user_agent_extra="wharfinger",
        )
        self._stack = AsyncExitStack()

    async def open(self) -> dict[str, RegistryClients]:
        """The clients by registry name. Sends nothing: credentials are fetched on first use."""
        return {settings.name: await self._open(settings) for settings in self._registries}

    async def close(self) -> None:
        await self._stack.aclose()

    async def _open(self, settings: RegistrySettings) -> RegistryClients:
        base = AioSession()
        assumed = self._assumed(base, settings) if settings.role else None
        session = base if assumed is None else _session_of(assumed)
        ecr = await self._stack.enter_async_context(self._guarded(session, "ecr", settings, assumed))
        sts = await self._stack.enter_async_context(self._guarded(session, "sts", settings, assumed))
        eks = await self._stack.enter_async_context(self._guarded(session, "eks", settings, assumed))
        lent = await self._stack.enter_async_context(self._guarded(_session_of(_Lent()), "ecr", settings, None))
        return RegistryClients(
            settings,
            session=assumed,
            ecr=cast("ECRClient", ecr),
            sts=cast("STSClient", sts),
            lent_ecr=cast("ECRClient", lent),
            eks=cast("EKSClient", eks),
            iam=OnFirstUse(lambda: self._stack.enter_async_context(self._guarded(session, "iam", settings, assumed))),
            cloudtrail=OnFirstUse(
                lambda: self._stack.enter_async_context(self._guarded(session, "cloudtrail", settings, assumed))
            ),
        )

    @asynccontextmanager
    async def _guarded(
        self, session: AioSession, service: str, settings: RegistrySettings, assumed: Assumed | None
    ) -> AsyncIterator[Any]:
        async with self._client(session, service, settings) as client:
            client.meta.events.register("before-call", _require_permit)
            # botocore builds the User-Agent anew for every attempt, as the last that is done to it.
            client.meta.events.register_last("request-created", _name_operation)
            # Before botocore's own, which would retry.
            client.meta.events.register_first("needs-retry", _note_doubt)
            if assumed is not None:
                client.meta.events.register("needs-retry", assumed.renew_expired)
            refuse_unreadable(client)
            count_calls(client.meta.events)
            yield client

    def _client(self, session: AioSession, service: str, settings: RegistrySettings) -> ClientCreatorContext:
        endpoint = str(settings.endpoint).rstrip("/") if settings.endpoint else None
        return session.create_client(service, region_name=settings.region, endpoint_url=endpoint, config=self._config)

    def _assumed(self, base: AioSession, settings: RegistrySettings) -> Assumed:
        """The session under the registry's role."""
        asked = {"RoleArn": settings.role, "RoleSessionName": SESSION_NAME}
        if settings.external_id:
            asked["ExternalId"] = settings.external_id.get_secret_value()

        async def assume() -> dict[str, str]:
            async with self._client(base, "sts", settings) as sts:
                credentials = (await sts.assume_role(**asked))["Credentials"]
            return {
                "access_key": credentials["AccessKeyId"],
                "secret_key": credentials["SecretAccessKey"],
                "token": credentials["SessionToken"],
                "expiry_time": credentials["Expiration"].isoformat(),
            }

        return Assumed(assume)


_lent: ContextVar[ReadOnlyCredentials] = ContextVar("lent")


@contextmanager
def lent(credentials: "CredentialsTypeDef") -> Iterator[None]:
    """Within this, `lent_ecr` signs with these credentials. A client of its own for each would cost a handshake."""
    frozen = (credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"])
    token = _lent.set(ReadOnlyCredentials(*frozen))
    try:
        yield
    finally:
        _lent.reset(token)


class _Lent(AioCredentials):  # type: ignore[misc] # botocore has no types
    """Credentials that are another caller's in every task."""

    def __init__(self) -> None:
        super().__init__("lent", "lent", method="lent")

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return _lent.get()


class _Provider:
    METHOD = Assumed.METHOD
    CANONICAL_NAME = None

    def __init__(self, credentials: AioCredentials) -> None:
        self._credentials = credentials

    async def load(self) -> AioCredentials:
        return self._credentials


def _session_of(credentials: AioCredentials) -> AioSession:
    session = AioSession()
    session.register_component("credential_provider", AioCredentialResolver([_Provider(credentials)]))
    return session


def _require_permit(model: "OperationModel", **_: object) -> None:
    if model.name in READS:
        return
    current = permit.get()
    if current is None:
        raise UnrecordedCallError(f"{model.name} outside an open operation")
    _require_time(current)
    current.is_sent = True
    current.is_doubtful = False


def _require_time(current: Permit) -> None:
    if current.until is not None and utcnow() > current.until:
        raise DeadlineError("The deadline passed before AWS was asked.", retry_after=5)


def _name_operation(request: "AWSRequest", operation_name: str, **_: object) -> None:
    """CloudTrail keeps the User-Agent, so its events and the audit trail can be joined."""
    current = permit.get()
    if current is not None and operation_name not in READS:
        _require_time(current)
        named = f"{request.headers['User-Agent']} {OPERATION_IN_USER_AGENT}{current.operation_id}"
        request.headers.replace_header("User-Agent", named)


def _note_doubt(
    operation: "OperationModel",
    response: Any,  # noqa: ANN401 - botocore's own type
    caught_exception: Exception | None,
    **_: object,
) -> None:
    """:raises AnswerLostError: there was no definite answer, and to send it again could do harm."""
    current = permit.get()
    if current is None or operation.name in READS:
        return
    if _is_without_answer(response, caught_exception):
        current.is_doubtful = True
        if operation.name not in HARMLESS_TWICE:
            raise _without_answer(operation.name) from caught_exception
    elif response is not None and response[0].status_code in _SUCCESS:
        current.is_doubtful = False


def _is_without_answer(response: Any, caught_exception: Exception | None) -> bool:  # noqa: ANN401 - botocore's own type
    if caught_exception is not None:
        return not _is_never_connected(caught_exception)
    answer, parsed = response
    code = str(parsed.get("Error", {}).get("Code", ""))
    return bool(answer.status_code >= _SERVER_ERROR) and not is_throttle(answer.status_code, code)
