"""What a request to the Kubernetes API is about: verb, resource, object and options."""

import json
from dataclasses import dataclass
from typing import Literal

import yaml
from starlette.datastructures import QueryParams
from starlette.requests import Request

from sandbox.kube import protobuf
from sandbox.kube.errors import StatusError, bad_request, invalid, no_such_resource
from sandbox.kube.kinds import ACCESS_REVIEW, DEPLOYMENT, STORED, Kind
from sandbox.kube.store import Object

Validation = Literal["Strict", "Warn", "Ignore"]
Verb = Literal["get", "list", "watch", "create", "patch", "delete"]
_RESOURCES = {(kind.group, kind.version, kind.plural): kind for kind in (*STORED, ACCESS_REVIEW)}
_VALIDATIONS: dict[str, Validation] = {"Strict": "Strict", "Warn": "Warn", "Ignore": "Ignore"}
_UNNAMED: dict[str, Verb] = {"GET": "list", "POST": "create"}
_NAMED: dict[str, Verb] = {"GET": "get", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names; `namespace` and `name` are None where it names none."""

    kind: Kind
    namespace: str | None
    name: str | None
    subresource: Literal["status", "scale"] | None

    @property
    def resource(self) -> str:
        """As access rules name it."""
        return f"{self.kind.plural}/{self.subresource}" if self.subresource else self.kind.plural

    @property
    def scope(self) -> str | None:
        """The namespace that access is decided in; a Namespace object lies in itself."""
        return self.name if self.kind.plural == "namespaces" else self.namespace


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a write."""

    manager: str
    is_dry_run: bool
    validation: Validation
    is_forced: bool


def target_of(path: str) -> Target:
    """:raises StatusError: 404, there is no such resource."""
    parts = path.strip("/").split("/")
    group, version, rest = _group(parts)
    namespace = None
    if len(rest) > 2 and rest[0] == "namespaces" and rest[2] != "status":  # noqa: PLR2004 - a path's parts
        namespace, rest = rest[1], rest[2:]
    kind = _RESOURCES.get((group, version, rest[0])) if rest else None
    if kind is None or (namespace is not None and not kind.is_namespaced):
        raise no_such_resource()
    return Target(kind, namespace, rest[1] if len(rest) > 1 else None, _subresource(kind, rest[2:]))


def verb_of(request: Request, target: Target) -> Verb:
    """:raises StatusError: 405, the resource knows no such verb."""
    verb = (_NAMED if target.name else _UNNAMED).get(request.method)
    if verb is None or (verb == "create" and target.kind.is_namespaced and not target.namespace):
        raise StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    if verb == "list" and request.query_params.get("watch") in ("true", "1"):
        return "watch"
    return verb


def options_of(request: Request, *, is_apply: bool = False) -> Options:
    """:raises StatusError: 422, an option has a value that is not one."""
    query = request.query_params
    dry_run = query.getlist("dryRun")
    kind = "PatchOptions" if request.method == "PATCH" else "CreateOptions"
    for value in dry_run:
        if value != "All":
            cause = _cause("dryRun", "FieldValueNotSupported", f'Unsupported value: "{value}": supported values: "All"')
            raise invalid(kind, "meta.k8s.io", "", [cause])
    if is_apply and not query.get("fieldManager"):
        required = _cause("fieldManager", "FieldValueRequired", "Required value: is required for apply patch")
        raise invalid(kind, "meta.k8s.io", "", [required])
    is_forced = query.get("force") in ("true", "1")
    if is_forced and request.method == "PATCH" and not is_apply:
        cause = _cause("force", "FieldValueForbidden", "Forbidden: may not be specified for non-apply patch")
        raise invalid(kind, "meta.k8s.io", "", [cause])
    agent = request.headers.get("user-agent", "").split("/")[0].split(" ")[0]
    return Options(query.get("fieldManager") or agent or "unknown", bool(dry_run), _validation(query), is_forced)


async def body_of(request: Request) -> Object:
    """The object that was sent, as JSON or YAML; what kubectl insists on sending as protobuf is read too.

    :raises StatusError: 400, it cannot be read; 415, protobuf of another kind.
    """
    media = request.headers.get("content-type", "application/json").split(";")[0]
    text = await request.body()
    if media == protobuf.MEDIA:
        return protobuf.decode(text)
    try:
        sent = json.loads(text) if media.endswith("json") else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise bad_request(f"the object provided is unrecognized: {error}") from error
    if not isinstance(sent, dict):
        raise bad_request("the object provided is unrecognized (must be of type object)")
    return sent


def _group(parts: list[str]) -> tuple[str, str, list[str]]:
    if parts[0] == "api":
        return "", parts[1] if len(parts) > 1 else "", parts[2:]
    if parts[0] == "apis" and len(parts) > 2:  # noqa: PLR2004 - a path's parts
        return parts[1], parts[2], parts[3:]
    raise no_such_resource()


def _subresource(kind: Kind, rest: list[str]) -> Literal["status", "scale"] | None:
    if not rest:
        return None
    if rest == ["status"] and kind.has_status:
        return "status"
    if rest == ["scale"] and kind is DEPLOYMENT:
        return "scale"
    raise no_such_resource()


def _validation(query: QueryParams) -> Validation:
    asked = query.get("fieldValidation") or "Warn"
    if asked not in _VALIDATIONS:
        text = f'Unsupported value: "{asked}": supported values: "Ignore", "Strict", "Warn"'
        raise invalid("CreateOptions", "meta.k8s.io", "", [_cause("fieldValidation", "FieldValueNotSupported", text)])
    return _VALIDATIONS[asked]


def _cause(field: str, reason: str, message: str) -> dict[str, str]:
    return {"reason": reason, "message": message, "field": field}
