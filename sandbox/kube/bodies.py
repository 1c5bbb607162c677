"""Whether a body fits the request that it came with, and patches that are laid over an object."""

from starlette.requests import Request

from sandbox.kube import json_patch
from sandbox.kube.errors import StatusError, bad_request, stale
from sandbox.kube.kinds import Kind
from sandbox.kube.merging import merge_patch, strategic_patch
from sandbox.kube.request import Target, body_of
from sandbox.kube.store import Object

_JSON_PATCH = "application/json-patch+json"
_MERGE_PATCH = "application/merge-patch+json"
_STRATEGIC_PATCH = "application/strategic-merge-patch+json"
_ACCEPTED = (_JSON_PATCH, _MERGE_PATCH, "application/apply-patch+yaml", _STRATEGIC_PATCH)


def check_kind(kind: Kind, sent: Object, *, is_needed: bool = False) -> None:
    """:raises StatusError: 400, the body says that it is something else than the path."""
    if is_needed and not sent.get("kind"):
        raise bad_request("error decoding YAML: Object 'Kind' is missing")
    version = sent.get("apiVersion", "" if is_needed else kind.api_version)
    if version != kind.api_version:
        raise bad_request(
            f"the API version in the data ({version}) does not match the expected API version ({kind.api_version})"
        )
    if sent.get("kind", kind.name) != kind.name:
        raise bad_request(f'{sent["kind"]} in version "{kind.version}" cannot be handled as a {kind.name}')


def check_identity(target: Target, made: Object) -> None:
    """Fills in the names that the path says and the body does not.

    :raises StatusError: 400, they differ.
    """
    metadata = made.setdefault("metadata", {})
    if target.namespace is not None and metadata.setdefault("namespace", target.namespace) != target.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    if target.name is not None and metadata.setdefault("name", target.name) != target.name:
        named = metadata["name"]
        raise bad_request(f"the name of the object ({named}) does not match the name on the URL ({target.name})")


def check_precondition(kind: Kind, before: Object | None, sent: Object) -> None:
    """:raises StatusError: 409, the object is not the one, or not in the version, that the writer has seen."""
    name = sent["metadata"]["name"]
    was = before["metadata"] if before else {}
    if (uid := sent["metadata"].get("uid")) and uid != was.get("uid", ""):
        error = stale(kind.plural, kind.group, name)
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {was.get('uid', '')}"
        raise StatusError(409, "Conflict", f"{error.message.partition(': ')[0]}: {why}", details=error.details)
    if sent["metadata"].get("resourceVersion") not in (None, "", was.get("resourceVersion")):
        raise stale(kind.plural, kind.group, name)


async def patched(request: Request, kind: Kind, before: Object) -> Object:
    """The object with a patch laid over it.

    :raises StatusError: 415, a patch of no known type; 400 or 422, it does not fit.
    """
    media = request.headers.get("content-type", "").split(";")[0]
    if media == _JSON_PATCH:
        return json_patch.apply(before, await request.body())
    if media == _MERGE_PATCH:
        merged: Object = merge_patch(before, await body_of(request))
        return merged
    if media == _STRATEGIC_PATCH:
        return strategic_patch(kind, before, await body_of(request))
    raise StatusError(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(_ACCEPTED)}",
    )
