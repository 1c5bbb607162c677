"""Bearer tokens of EKS: a presigned GetCallerIdentity, verified here as the cluster's authenticator does it.

Source: aws-iam-authenticator, pkg/token/token.go; for whose entry counts, Amazon EKS User Guide, "Access entries".
"""

import base64
import binascii
import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import SplitResult, unquote, urlsplit

from sandbox.aws import sigv4
from sandbox.aws.eks.access_entries import LEVELS, POLICY_ARN, AccessEntries, Entry
from sandbox.aws.identities import Identities, Known
from sandbox.aws.sigv4 import SignatureError
from sandbox.clock import CLOCK
from sandbox.kube.bindings import rules_by_group
from sandbox.kube.errors import StatusError
from sandbox.kube.identity import Grant, Identity

_PREFIX = "k8s-aws-v1."
_LONGEST = 4096
_CLUSTER_HEADER = "x-k8s-aws-id"
_FIXED = {"action": "GetCallerIdentity", "version": "2011-06-15", "x-amz-algorithm": "AWS4-HMAC-SHA256"}
_ALLOWED = {
    *_FIXED,
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
}
_ADMIN = Identity("sandbox-admin", ("system:masters", "system:authenticated"), (Grant("cluster-admin", None),))


_BOUND = rules_by_group()


class TokenError(ValueError):
    """The token proves nobody; the text says why, and is not for the client."""


class Tokens:
    """Tells whose a token is.

    :param is_sts: whether a URL of this scheme and host is one of STS.
    :param admin_token: the bearer token of the cluster's administrator, for a kubeconfig.
    """

    def __init__(
        self,
        *,
        cluster: str,
        identities: Identities,
        entries: AccessEntries,
        is_sts: Callable[[str, str], bool],
        admin_token: str,
    ) -> None:
        self._cluster = cluster
        self._identities = identities
        self._entries = entries
        self._is_sts = is_sts
        self._admin_token = admin_token.encode()

    def authenticate(self, token: str | None) -> Identity:
        """:raises StatusError: 401, whatever is wrong."""
        if token is not None and hmac.compare_digest(token.encode(), self._admin_token):
            return _ADMIN
        try:
            caller = self._verified(_url(token or ""))
        except (TokenError, SignatureError):
            raise _unauthorized() from None
        entry = self._entries.find(caller.role_arn or caller.arn)
        if entry is None:
            raise _unauthorized()
        return _identity(caller, entry)

    def _verified(self, url: SplitResult) -> Known:
        """Who signed the URL.

        :raises TokenError: :raises SignatureError:
        """
        self._check(url)
        headers = {"host": url.netloc, _CLUSTER_HEADER: self._cluster}
        signed = sigv4.parse("GET", headers, url.query)
        if signed.service != "sts" or _CLUSTER_HEADER not in signed.signed_headers:
            raise TokenError("not signed for STS, or not for any cluster")
        caller = self._identities.find(signed.access_key)
        if caller is None or caller.token != signed.token:
            raise TokenError("no such access key")
        sigv4.verify(
            signed,
            caller.secret,
            method="GET",
            path=url.path,
            query=url.query,
            headers=headers,
            body=b"",
            now=datetime.now(UTC),
        )
        if caller.expires_at is not None and caller.expires_at < CLOCK.time():
            raise TokenError("the session is over")
        return caller

    def _check(self, url: SplitResult) -> None:
        if not self._is_sts(url.scheme, url.netloc) or url.path != "/" or url.fragment:
            raise TokenError("not a URL of STS")
        pairs = [part.partition("=") for part in url.query.split("&")]
        fields = {unquote(name).lower(): unquote(value) for name, _, value in pairs}
        if len(fields) != len(pairs) or not fields.keys() <= _ALLOWED:
            raise TokenError("a parameter is there twice, or must not be there")
        if any(fields.get(name) != value for name, value in _FIXED.items()):
            raise TokenError("not a presigned GetCallerIdentity")


def _url(token: str) -> SplitResult:
    if not token.startswith(_PREFIX) or len(token) > _LONGEST or "=" in token:
        raise TokenError("not of the form of a token")
    encoded = token.removeprefix(_PREFIX)
    try:
        padded = encoded + "=" * (-len(encoded) % 4)
        return urlsplit(base64.b64decode(padded, altchars=b"-_", validate=True).decode())
    except (binascii.Error, ValueError) as error:
        raise TokenError("not base64 of a URL") from error


def _identity(caller: Known, entry: Entry) -> Identity:
    grants = tuple(
        Grant(LEVELS[arn.removeprefix(POLICY_ARN)], _namespaces(associated["scope"]))
        for arn, associated in sorted(entry["policies"].items())
    )
    bound = [rules for group in entry["groups"] for rules in _BOUND.get(group, ())]
    return Identity(_username(caller, entry), ("system:authenticated", *entry["groups"]), (*grants, *bound))


def _username(caller: Known, entry: Entry) -> str:
    return str(entry["username"]).replace("{{SessionName}}", caller.session or "")


def _namespaces(scope: dict[str, object]) -> tuple[str, ...] | None:
    named = scope.get("namespaces")
    return tuple(named) if scope["type"] == "namespace" and isinstance(named, list) else None


def _unauthorized() -> StatusError:
    return StatusError(401, "Unauthorized", "Unauthorized")
