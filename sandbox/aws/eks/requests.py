"""Requests to EKS taken apart, and the shapes that its answers share: REST with JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from sandbox.aws.ecr.model import mistakes, service

Json = dict[str, Any]
_ROUTES = {
    ("GET", "clusters"): "ListClusters",
    ("GET", "clusters/*"): "DescribeCluster",
    ("POST", "clusters/*/update-config"): "UpdateClusterConfig",
    ("GET", "clusters/*/node-groups"): "ListNodegroups",
    ("POST", "clusters/*/node-groups"): "CreateNodegroup",
    ("GET", "clusters/*/node-groups/*"): "DescribeNodegroup",
    ("DELETE", "clusters/*/node-groups/*"): "DeleteNodegroup",
    ("GET", "clusters/*/fargate-profiles"): "ListFargateProfiles",
    ("POST", "clusters/*/fargate-profiles"): "CreateFargateProfile",
    ("GET", "clusters/*/fargate-profiles/*"): "DescribeFargateProfile",
    ("DELETE", "clusters/*/fargate-profiles/*"): "DeleteFargateProfile",
    ("GET", "clusters/*/access-entries"): "ListAccessEntries",
    ("POST", "clusters/*/access-entries"): "CreateAccessEntry",
    ("GET", "clusters/*/access-entries/*"): "DescribeAccessEntry",
    ("DELETE", "clusters/*/access-entries/*"): "DeleteAccessEntry",
    ("GET", "clusters/*/access-entries/*/access-policies"): "ListAssociatedAccessPolicies",
    ("POST", "clusters/*/access-entries/*/access-policies"): "AssociateAccessPolicy",
    ("DELETE", "clusters/*/access-entries/*/access-policies/*"): "DisassociateAccessPolicy",
}
"""Names stand between the fixed parts of a path."""
_LONGEST_PAGE = 100


class EksError(Exception):
    """A refusal in the words of EKS; `code` is the name of the exception."""

    def __init__(self, status: int, code: str, message: str, **members: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.members = members


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to EKS, taken apart."""

    operation: str
    names: tuple[str, ...]
    """Those in the path: cluster, then node group, profile or principal, then access policy."""
    query: Mapping[str, str]
    body: Json

    @property
    def parameters(self) -> Json:
        return {"path": list(self.names), **self.query, **self.body}


def operation_of(method: str, path: str) -> str:
    """What a request asks for; method and path themselves where EKS has no such operation that is imitated."""
    return _ROUTES.get((method, _template(_segments(path))), f"{method} {path}")


def read(method: str, path: str, query: Mapping[str, str], content: bytes) -> Asked:
    """:param path: as on the wire, percent-encoded. :raises EksError: the body is not what the model asks for."""
    try:
        body = json.loads(content or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise EksError(400, "SerializationException", "The body is not a JSON object")
    operation = operation_of(method, path)
    for mistake in _mistakes(operation, body):
        raise EksError(400, "InvalidParameterException", mistake)
    return Asked(operation, tuple(_segments(path)[1::2]), query, body)


def _mistakes(operation: str, body: Json) -> Iterator[str]:
    """What the service model does not allow of a body, which is the part of the input that has no place elsewhere."""
    if operation not in service("eks").operation_names:
        return
    shape = service("eks").operation_model(operation).input_shape
    members = {name: one for name, one in shape.members.items() if "location" not in one.serialization}
    for name, member in members.items():
        if body.get(name) is not None:
            yield from mistakes(member, body[name], name)
        elif name in shape.required_members:
            yield f"{name} must not be null"


def _segments(path: str) -> list[str]:
    return [unquote(one) for one in path.strip("/").split("/")]


def _template(segments: Sequence[str]) -> str:
    return "/".join("*" if number % 2 else one for number, one in enumerate(segments))


def not_found(message: str, **members: str) -> EksError:
    return EksError(404, "ResourceNotFoundException", message, **members)


def page(member: str, names: Sequence[str], asked: Asked) -> Json:
    """Up to `maxResults` names after the token, which is the last name of the page before."""
    given = asked.query.get("maxResults", str(_LONGEST_PAGE))
    if not given.isdigit() or not 1 <= int(given) <= _LONGEST_PAGE:
        raise EksError(400, "InvalidParameterException", f"maxResults must be 1 to {_LONGEST_PAGE}, not {given}")
    after = [one for one in sorted(names) if one > asked.query.get("nextToken", "")]
    kept = after[: int(given)]
    return {member: kept} | ({"nextToken": kept[-1]} if len(after) > len(kept) else {})
