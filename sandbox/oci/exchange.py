"""One request of a container client, after its login: who asks, in which repository."""

import base64
import binascii
import sqlite3
from dataclasses import dataclass

from starlette.requests import Request

from sandbox.aws.ecr.api import require
from sandbox.aws.ecr.errors import EcrError
from sandbox.aws.ecr.registry import Registry
from sandbox.aws.identities import Identities
from sandbox.aws.policy import Principal
from sandbox.clock import CLOCK
from sandbox.oci.errors import OciError
from sandbox.state import sha256_of


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request about a repository, by a principal who is logged in."""

    request: Request
    registry: Registry
    principal: Principal
    name: str

    def allow(self, action: str, name: str | None = None) -> sqlite3.Row:
        """The repository, if the principal may do this there. ECR authorises before it looks.

        :raises EcrError: `AccessDeniedException` or `RepositoryNotFoundException`
        """
        name = name or self.name
        place = self.registry.place
        require(
            self.principal,
            f"ecr:{action}",
            place.repository_arn(name),
            place.account,
            self.registry.policy(name),
        )
        return self.registry.repository(name)

    def is_allowed(self, action: str, name: str) -> bool:
        try:
            self.allow(action, name)
        except EcrError:
            return False
        return True


def login(request: Request, registry: Registry, identities: Identities) -> Principal:
    """The principal behind `Authorization: Basic AWS:token`.

    :raises OciError: 401 without a login; 403 for one that is wrong or has expired, as ECR answers.
    """
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        challenge = f'Basic realm="http://{registry.host}/",service="ecr.amazonaws.com"'
        raise OciError(401, "UNAUTHORIZED", "Not Authorized", {"WWW-Authenticate": challenge})
    username, _, password = _decoded(encoded).partition(":")
    row = registry.state.one("SELECT * FROM logins WHERE sha256 = ?", sha256_of(password.encode()))
    known = identities.find(row["access_key"]) if row else None
    if row is None or known is None or username != "AWS":
        raise OciError(403, "DENIED", "Your Authorization Token is invalid.")
    if row["expires_at"] < CLOCK.time():
        raise OciError(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
    return identities.principal(known)


def _decoded(encoded: str) -> str:
    try:
        return base64.b64decode(encoded).decode()
    except (ValueError, binascii.Error):
        return ""
