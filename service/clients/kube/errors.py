"""One place from what a Kubernetes API server refuses to our errors.

Other than AWS's, its words are for the caller: they name the caller's own objects. Source: Kubernetes API conventions,
"Response Status Kind"; what a 1.34 server was seen to answer.
"""

import re
from collections.abc import Mapping
from typing import Any

import structlog

from service.base.errors import (
    ClusterPermissionError,
    ClusterRejectedError,
    ClusterUnavailableError,
    ConflictError,
    FieldError,
    InvalidError,
    NotFoundError,
    WharfingerError,
)

_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _CONFLICT, _INVALID, _SERVER_ERROR = 401, 403, 404, 409, 422, 500
_RETRY_AFTER = 5
_ADMISSION = re.compile(r"denied the request|violates PodSecurity|denied request|is forbidden: .*(maximum|minimum)")
_QUOTA = re.compile(r"exceeded quota|is forbidden: failed quota")
_NODE_PORT_TAKEN = "provided port is already allocated"
_OTHERS_FIELDS = "Others manage fields of this: leave these out, or have an admin take them over with `force`."
_UNTYPED = "failed to create typed patch object"

log = structlog.get_logger()


class StaleError(ConflictError):
    """The object has changed since it was read. Never rendered: read it again, and decide anew."""

    code = "stale_object"


class GoneError(ClusterUnavailableError):
    """What a watch was to go on from is forgotten. Never rendered: list again."""

    code = "watch_expired"


def from_status(code: int, status: Mapping[str, Any], cluster: str) -> WharfingerError:
    """Our error for a refusal; `status` is the body, empty where it was none of Kubernetes' own."""
    message = str(status.get("message") or "")
    log.warning("cluster_refused", cluster=cluster, status=code, reason=status.get("reason"), text=message)
    causes = [
        FieldError(str(one.get("field") or "?"), str(one.get("message") or ""))
        for one in (status.get("details") or {}).get("causes") or ()
    ]
    if code == _CONFLICT:
        return _conflict(message, status, causes)
    if code == _INVALID or (code == _SERVER_ERROR and message.startswith(_UNTYPED)):
        return _invalid(message, causes)
    if code == _FORBIDDEN:
        return _forbidden(message, status, cluster)
    return _other(code, message, status, cluster)


def unreachable(cluster: str) -> WharfingerError:
    return ClusterUnavailableError(f"The API server of cluster {cluster} did not answer.", retry_after=_RETRY_AFTER)


def unauthorized(cluster: str, identity: str, *, is_eks: bool) -> WharfingerError:
    advice = "give it an access entry there" if is_eks else "give it credentials that the cluster takes"
    return ClusterPermissionError(
        f"Cluster {cluster} does not know {identity}: {advice}.", code="cluster_access_missing"
    )


def _conflict(message: str, status: Mapping[str, Any], causes: list[FieldError]) -> WharfingerError:
    if causes:
        return ConflictError(f"{_OTHERS_FIELDS} {message}", code="field_conflict", errors=causes)
    if status.get("reason") == "AlreadyExists":
        return ConflictError(message, code="object_exists")
    return StaleError(message)


def _invalid(message: str, causes: list[FieldError]) -> WharfingerError:
    if any(_NODE_PORT_TAKEN in one.reason for one in causes):
        return ConflictError(message, code="node_port_taken", errors=causes)
    return InvalidError(message, code="cluster_refused_value", errors=causes)


def _forbidden(message: str, status: Mapping[str, Any], cluster: str) -> WharfingerError:
    causes = (status.get("details") or {}).get("causes") or ()
    if any(one.get("reason") == "NamespaceTerminating" for one in causes):
        return ConflictError(message, code="namespace_terminating")
    if _QUOTA.search(message):
        return ConflictError(message, code="quota_exceeded")
    if _ADMISSION.search(message):
        return InvalidError(message, code="admission_refused")
    return ClusterPermissionError(f"Cluster {cluster} refuses wharfinger's own identity: {message}")


def _other(code: int, message: str, status: Mapping[str, Any], cluster: str) -> WharfingerError:
    details = status.get("details") or {}
    if code == _NOT_FOUND and details.get("kind") == "namespaces":
        return NotFoundError("namespace", str(details.get("name")))
    if code == 410:  # noqa: PLR2004 - HTTP's Gone
        return GoneError(message)
    if code == 429 or code >= _SERVER_ERROR:  # noqa: PLR2004 - HTTP's Too Many Requests
        said = f"answered {code}: {message}" if message else f"answered {code}"
        return ClusterUnavailableError(f"The API server of cluster {cluster} {said}.", retry_after=_RETRY_AFTER)
    if _ADMISSION.search(message):
        return InvalidError(message, code="admission_refused")
    return ClusterRejectedError(f"Cluster {cluster} answered {code}: {message}")
