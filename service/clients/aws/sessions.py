"""How AWS is spoken to: sessions and clients opened once per process, one guard, one place for retries.

Nothing outside this package knows botocore.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import structlog
from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentialResolver, AioCredentials
from aiobotocore.hooks import AioHierarchicalEmitter
from aiobotocore.session import AioSession, ClientCreatorContext
from botocore.credentials import ReadOnlyCredentials
from botocore.loaders import Loader, create_loader

from service.base.settings import DeadlineSettings, RegistrySettings
from service.clients.aws.answers import refuse_unreadable
from service.clients.aws.assumed import Assumed
from service.clients.aws.guard import guard
from service.clients.aws.imports import guard_imports
from service.clients.aws.models import OVERLAY
from service.clients.aws.on_first_use import OnFirstUse
from service.clients.aws.telemetry import count_calls
from service.clients.aws.transport import TimelySession
from service.clients.oci.configs import Configs

if TYPE_CHECKING:
    from types_aiobotocore_ecr import ECRClient
    from types_aiobotocore_eks import EKSClient
    from types_aiobotocore_sts import STSClient
    from types_aiobotocore_sts.type_defs import CredentialsTypeDef


SESSION_NAME = "wharfinger"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RegistryClients:
    """The clients of one registry under its role, and one of ECR's under what is `lent` to it."""

    settings: RegistrySettings
    session: Assumed | None
    """None: the process's own identity, which the SDK alone renews."""
    ecr: "ECRClient"
    sts: "OnFirstUse[STSClient]"
    lent_ecr: "OnFirstUse[ECRClient]"
    eks: "OnFirstUse[EKSClient]"
    iam: OnFirstUse[Any]
    cloudtrail: OnFirstUse[Any]
    configs: Configs
    """One for all registries."""


class Aws:
    """Opens the clients of every registry once. Close it when the process ends."""

    def __init__(self, registries: Sequence[RegistrySettings], deadlines: DeadlineSettings) -> None:
        self._registries = registries
        self._config = AioConfig(
            connect_timeout=deadlines.aws_connect.total_seconds(),
            read_timeout=deadlines.aws_read.total_seconds(),
            retries={"mode": "standard", "total_max_attempts": deadlines.aws_attempts},
            user_agent_extra="wharfinger",
            http_session_cls=TimelySession,
        )
        self._own = _session()
        self._lent = _session_of(_Lent())
        self._configs = Configs()
        self._stack = AsyncExitStack()
        self._stack.push_async_callback(self._configs.close)

    async def open(self) -> dict[str, RegistryClients]:
        """The clients by registry name. Sends nothing: credentials are fetched on first use."""
        return {settings.name: await self._open(settings) for settings in self._registries}

    async def close(self) -> None:
        await self._stack.aclose()

    async def _open(self, settings: RegistrySettings) -> RegistryClients:
        assumed = self._assumed(settings) if settings.role else None
        session = self._own if assumed is None else _session_of(assumed)

        def later(service: str) -> OnFirstUse[Any]:
            return OnFirstUse(lambda: self._opened(session, service, settings, assumed))

        return RegistryClients(
            settings,
            session=assumed,
            ecr=cast("ECRClient", await self._opened(session, "ecr", settings, assumed)),
            sts=later("sts"),
            lent_ecr=OnFirstUse(lambda: self._opened(self._lent, "ecr", settings, None)),
            eks=later("eks"),
            iam=later("iam"),
            cloudtrail=later("cloudtrail"),
            configs=self._configs,
        )

    async def _opened(
        self, session: AioSession, service: str, settings: RegistrySettings, assumed: Assumed | None
    ) -> Any:  # noqa: ANN401 - what botocore makes has no type without stubs
        return await self._stack.enter_async_context(self._guarded(session, service, settings, assumed))

    @asynccontextmanager
    async def _guarded(
        self, session: AioSession, service: str, settings: RegistrySettings, assumed: Assumed | None
    ) -> AsyncIterator[Any]:
        async with self._client(session, service, settings) as client:
            guard(client.meta.events)
            if service == "ecr":
                guard_imports(client)
            if assumed is not None:
                client.meta.events.register("needs-retry", assumed.renew_expired)
            refuse_unreadable(client)
            count_calls(client.meta.events)
            yield client

    def _client(self, session: AioSession, service: str, settings: RegistrySettings) -> ClientCreatorContext:
        endpoint = str(settings.endpoint).rstrip("/") if settings.endpoint else None
        return session.create_client(service, region_name=settings.region, endpoint_url=endpoint, config=self._config)

    def _assumed(self, settings: RegistrySettings) -> Assumed:
        """The session under the registry's role."""
        asked = {"RoleArn": settings.role, "RoleSessionName": SESSION_NAME}
        if settings.external_id:
            asked["ExternalId"] = settings.external_id.get_secret_value()

        async def assume() -> dict[str, str]:
            async with self._client(self._own, "sts", settings) as sts:
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
    session = _session()
    session.register_component("credential_provider", AioCredentialResolver([_Provider(credentials)]))
    return session


def _session() -> AioSession:
    session = AioSession(event_hooks=_handlers(), include_builtin_handlers=False)
    session.register_component("data_loader", _models(session.get_config_variable("data_path")))
    return session


@cache
def _handlers() -> Any:  # noqa: ANN401 - botocore has no types
    """Botocore's own, put in place once: each client copies them before it adds any."""
    hooks = AioHierarchicalEmitter()
    AioSession(event_hooks=hooks)
    return hooks


@cache
def _models(path: str | None) -> Loader:
    """What botocore knows of the services, read once: each session would parse it anew, megabytes of JSON."""
    loader = create_loader(path)
    loader.search_paths.insert(0, str(OVERLAY))
    return loader
