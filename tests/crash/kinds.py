"""One change of each kind in the settlement table, each about a repository of its own."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from sandbox.calls import Call
from sandbox.server import Sandbox
from service.clients.aws.reads import READS
from service.iam.templates import cross_account_pull
from tests.conftest import ACCOUNT
from tests.crash.conftest import Entries
from tests.images import image, push_image

_POLICY = cross_account_pull([ACCOUNT])
_UPDATE = {"tag_mutability": "IMMUTABLE", "scan_on_push": True, "tags": {"team": "wharf"}}


@dataclass(frozen=True, slots=True)
class Kind:
    """A change, the AWS call that it is caught in, and how its row ends if that call acted or did not."""

    name: str
    action: str
    call: str
    request: Callable[[str], tuple[str, str, Any]]
    """Method, path and body, by the repository's name."""
    acted: str = "succeeded"
    not_acted: str = "failed"

    @property
    def repository(self) -> str:
        return f"crash/{self.name}"

    @property
    def target(self) -> str:
        return f"local/{self.repository}"

    def is_acted_on(self, call_parameters: dict[str, Any]) -> bool:
        """Whether a logged call is about this kind's repository."""
        named = str(call_parameters.get("repositoryName") or call_parameters.get("resourceArn") or "")
        return named.endswith(self.repository)


def _update(name: str) -> tuple[str, str, Any]:
    return "PATCH", f"/v1/repositories/{name}", _UPDATE


KINDS = (
    Kind("create", "repository.create", "CreateRepository", lambda name: ("POST", "/v1/repositories", {"name": name})),
    Kind("update-first", "repository.update", "PutImageTagMutability", _update, acted="partial"),
    Kind(
        "update-second",
        "repository.update",
        "PutImageScanningConfiguration",
        _update,
        acted="partial",
        not_acted="partial",
    ),
    Kind("update-last", "repository.update", "TagResource", _update, not_acted="partial"),
    Kind("delete", "repository.delete", "DeleteRepository", lambda name: ("DELETE", f"/v1/repositories/{name}", None)),
    Kind(
        "policy-put",
        "policy.put",
        "SetRepositoryPolicy",
        lambda name: ("PUT", f"/v1/policies/repositories/{name}", _POLICY),
    ),
    Kind(
        "policy-delete",
        "policy.delete",
        "DeleteRepositoryPolicy",
        lambda name: ("DELETE", f"/v1/policies/repositories/{name}", None),
    ),
    Kind("tag", "image.tag", "PutImage", lambda name: ("PUT", f"/v1/images/{name}:new", {"source": "old"})),
    Kind("untag", "image.delete", "BatchDeleteImage", lambda name: ("DELETE", f"/v1/images/{name}:old", None)),
    Kind(
        "vend",
        "token.pull",
        "AssumeRole",
        lambda name: ("POST", "/v1/tokens", {"repositories": [name], "actions": ["pull"]}),
        acted="unknown",
        not_acted="unknown",
    ),
    Kind(
        "vend-login",
        "token.pull",
        "GetAuthorizationToken",
        lambda name: ("POST", "/v1/tokens", {"repositories": [name], "actions": ["pull"]}),
        acted="unknown",
        not_acted="unknown",
    ),
)


async def prepare(client: httpx.AsyncClient, aws: Sandbox) -> None:
    """What the changes change. Asking for credentials too, so that none is caught assuming the service's own role."""
    for kind in KINDS:
        if kind.name != "create":
            (
                await client.post("/v1/repositories", json={"name": kind.repository, "scan_on_push": False})
            ).raise_for_status()
        if kind.action.startswith("image."):
            await push_image(aws, kind.repository, "old", image(kind.name))
    path = "/v1/policies/repositories/crash/policy-delete"
    (await client.put(path, json=_POLICY)).raise_for_status()


def statuses(rows: Entries) -> dict[str, str]:
    """How each kind's row ended, by the kind's name."""
    return {kind.name: rows[kind.action, kind.target]["status"] for kind in KINDS}


def expected(*, is_acted: bool) -> dict[str, str]:
    """How the settlement table says that each ends."""
    return {kind.name: kind.acted if is_acted else kind.not_acted for kind in KINDS}


def assert_recorded(calls: list[Call], operations: set[str]) -> None:
    """Every change by wharfinger's own credentials names an operation of the trail.

    Not so AssumeRole by the user that the process runs as: it makes those credentials, for reads too, and belongs to
    no operation.
    """
    mine = [call for call in calls if call.principal and ":assumed-role/wharfinger" in call.principal]
    changes = [call for call in mine if call.service in {"ecr", "sts"} and call.operation not in READS]
    assert changes
    named = [re.search(r"wharfinger-operation/(\S+)", call.user_agent) for call in changes]
    assert all(name and name[1] in operations for name in named), changes
