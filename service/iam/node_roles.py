"""Whether the role of a cluster's nodes may pull from a repository: decided on its policies, without asking AWS.

What this cannot see: service and resource control policies of the organization, and policies of VPC endpoints.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.clients.ecr.actions import LOGIN, PULL
from service.iam.documents import Document
from service.iam.matching import Certainty, covers, decide, statements_of

PULL_ACTIONS = (LOGIN, *PULL)
"""What the kubelet needs."""

_PULLING: Document = {"Statement": [{"Effect": "Allow", "Action": list(PULL_ACTIONS), "Resource": "*"}]}
_SILENT: Document = {"Statement": []}
_KNOWN: Mapping[str, Document] = {
    "AmazonEC2ContainerRegistryPullOnly": _PULLING,
    "AmazonEC2ContainerRegistryReadOnly": _PULLING,
    "AmazonEC2ContainerRegistryPowerUser": _PULLING,
    "AmazonEC2ContainerRegistryFullAccess": _PULLING,
    "AmazonEKSFargatePodExecutionRolePolicy": _PULLING,
    "AmazonEKSWorkerNodePolicy": _SILENT,
    "AmazonEKSWorkerNodeMinimalPolicy": _SILENT,
    "AmazonEKS_CNI_Policy": _SILENT,
    "AmazonSSMManagedInstanceCore": _SILENT,
}
"""What policies of AWS's own say on pulling (AWS Managed Policy Reference): the usual ones of nodes."""
_OF_AWS = re.compile(r"arn:aws[a-z-]*:iam::aws:policy/(?:[\w-]+/)*(?P<name>[\w-]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class RolePolicies:
    """What counts for a role: the documents that could be read, and what else there is."""

    documents: Sequence[Document]
    unread: Sequence[str] = ()
    """Names of policies whose documents we may not read."""
    is_bounded: bool = False
    """It has a permissions boundary, which takes away whatever it does not allow too."""


def known_document(policy_arn: str) -> Document | None:
    """What a policy of AWS's own says on pulling, for where its document may not be read."""
    named = _OF_AWS.fullmatch(policy_arn)
    return _KNOWN.get(named["name"]) if named else None


def pull_rights(policies: RolePolicies, repository_arn: str) -> dict[str, Certainty]:
    """Of each of the four actions whether the role's own policies allow it."""
    return {one: _right(policies, one, repository_arn) for one in PULL_ACTIONS}


def denied_actions(policies: RolePolicies, repository_arn: str) -> list[str]:
    """Those of the four that no further policy would allow, as one of the documents denies them."""
    return [one for one in PULL_ACTIONS if ("Deny", Certainty.YES) in _effects(policies, one, repository_arn)]


def _right(policies: RolePolicies, action: str, repository_arn: str) -> Certainty:
    effects = _effects(policies, action, repository_arn)
    if policies.unread:
        effects += [("Allow", Certainty.MAYBE), ("Deny", Certainty.MAYBE)]
    if policies.is_bounded:
        effects.append(("Deny", Certainty.MAYBE))
    return decide(effects)


def _effects(policies: RolePolicies, action: str, repository_arn: str) -> list[tuple[str, Certainty]]:
    """Of each statement its effect, and whether it has that on such a request."""
    resource = "*" if action == LOGIN else repository_arn
    return [(one["Effect"], covers(one, action, resource)) for one in statements_of(policies.documents)]
