"""Docker credentials, narrowed: a broker role assumed with a session policy, then turned into a registry login."""

import base64
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from service.clients.aws.answers import as_text
from service.clients.aws.sessions import RegistryClients, lent
from service.clients.aws.translation import translated
from service.models.tokens import SESSION_SECONDS

if TYPE_CHECKING:
    from types_aiobotocore_ecr import ECRClient


@dataclass(frozen=True, slots=True)
class Credential:
    """A docker login. The password is a secret: it is not in `repr`, and must not reach a log or the database."""

    username: str
    password: str = field(repr=False)
    endpoint: str
    expires_at: datetime


class Broker:
    """Vends credentials of one registry."""

    def __init__(self, clients: RegistryClients) -> None:
        self.settings = clients.settings
        self._clients = clients

    async def vend(self, policy: str, session_name: str) -> Credential:
        """A credential under the broker role, no wider than `policy`. It ends with the session, an hour at most."""
        role = self.settings.broker_role or ""
        sts, ecr = await self._clients.sts.get(), await self._clients.lent_ecr.get()
        with translated("AssumeRole", role=role):
            session = await sts.assume_role(
                RoleArn=role, RoleSessionName=session_name, Policy=policy, DurationSeconds=SESSION_SECONDS
            )
            with lent(session["Credentials"]):
                return await _login(ecr, session["Credentials"]["Expiration"])

    async def vend_own(self) -> Credential:
        """A credential under wharfinger's own role: all that this role may, in every registry it reaches."""
        own = await _login(self._clients.ecr, None)
        ends = self._clients.session and self._clients.session.ends_at
        return replace(own, expires_at=min(own.expires_at, ends)) if ends else own


async def _login(ecr: "ECRClient", session_ends: datetime | None) -> Credential:
    with translated("GetAuthorizationToken"):
        [login] = (await ecr.get_authorization_token())["authorizationData"]
        username, _, password = base64.b64decode(login["authorizationToken"]).decode().partition(":")
        # AWS says 12 hours for every token and nothing of the session it came from: the earlier end is the safe one.
        ends = min(login["expiresAt"], session_ends or login["expiresAt"])
        return Credential(username, password, as_text(login["proxyEndpoint"]), ends)
