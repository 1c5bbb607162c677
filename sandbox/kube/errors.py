"""What the Kubernetes API answers when it refuses: a `Status` object.

Source: Kubernetes API conventions, "Response Status Kind".
"""

from collections.abc import Sequence
from typing import Any


class StatusError(Exception):
    """A refusal; `reason` is the machine-readable one, `causes` say which fields were wrong."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        causes: Sequence[dict[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = dict(details or {}) | ({"causes": list(causes)} if causes else {})

    def body(self) -> dict[str, Any]:
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            **({"reason": self.reason} if self.reason else {}),
            **({"details": self.details} if self.details else {}),
            "code": self.code,
        }


def not_found(plural: str, group: str, name: str) -> StatusError:
    return StatusError(
        404, "NotFound", f'{_full(plural, group)} "{name}" not found', details=_details(plural, group, name)
    )


def already_exists(plural: str, group: str, name: str) -> StatusError:
    message = f'{_full(plural, group)} "{name}" already exists'
    return StatusError(409, "AlreadyExists", message, details=_details(plural, group, name))


def stale(plural: str, group: str, name: str) -> StatusError:
    """The object has changed since the `resourceVersion` that the writer names."""
    message = (
        f'Operation cannot be fulfilled on {_full(plural, group)} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    return StatusError(409, "Conflict", message, details=_details(plural, group, name))


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def invalid(kind: str, group: str, name: str, causes: Sequence[dict[str, str]]) -> StatusError:
    """The object is well-formed and breaks rules; every broken one is a cause."""
    words = [f"{cause['field']}: {cause['message']}" for cause in causes]
    said = words[0] if len(words) == 1 else f"[{', '.join(words)}]"
    message = f'{_full(kind, group)} "{name}" is invalid: {said}'
    return StatusError(422, "Invalid", message, details=_details(kind, group, name), causes=causes)


def forbidden(plural: str, group: str, name: str, why: str) -> StatusError:
    named = f' "{name}"' if name else ""
    message = f"{_full(plural, group)}{named} is forbidden: {why}"
    return StatusError(403, "Forbidden", message, details=_details(plural, group, name))


def terminating(plural: str, group: str, name: str, namespace: str) -> StatusError:
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    said = f"namespace {namespace} is being terminated"
    error = forbidden(plural, group, name, why)
    error.details["causes"] = [{"reason": "NamespaceTerminating", "message": said, "field": "metadata.namespace"}]
    return error


def no_such_resource() -> StatusError:
    return StatusError(404, "NotFound", "the server could not find the requested resource")


def expired(asked: int, oldest: int) -> StatusError:
    return StatusError(410, "Expired", f"too old resource version: {asked} ({oldest})")


def _full(plural: str, group: str) -> str:
    return f"{plural}.{group}" if group else plural


def _details(plural: str, group: str, name: str) -> dict[str, Any]:
    return {**({"name": name} if name else {}), **({"group": group} if group else {}), "kind": plural}
