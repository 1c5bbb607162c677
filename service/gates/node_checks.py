"""Who the nodes of a cluster are, and whether they may pull: read at EKS and IAM."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.base.errors import WharfingerError
from service.base.tasks import all_of
from service.clients.eks import Eks
from service.clients.iam import Iam
from service.gates.checks import Finding, joined, settled, tripped
from service.iam.documents import Document
from service.iam.grants import direct_grants
from service.iam.matching import Certainty
from service.iam.node_roles import RolePolicies, denied_actions, known_document, pull_rights
from service.models.preflights import Verdict

_ATTACH = "Attach AmazonEC2ContainerRegistryPullOnly to role {role}."
_TAKE_AWAY = "Take the Deny out of the policies of role {role}: no other policy can outdo it."
_CONFIRM = "See that role {role} may do what AmazonEC2ContainerRegistryPullOnly allows."
_BOUNDED = "It has a permissions boundary."
_NOT_LISTED = Finding(
    Verdict.UNKNOWN,
    "EKS lists neither node groups nor Fargate profiles nor node pools of Auto Mode for this cluster.",
    "See that AmazonEC2ContainerRegistryPullOnly is attached to the role of each node that you run yourself.",
)


@dataclass(frozen=True, slots=True)
class NodeRoles:
    """The roles by which a cluster's images are pulled, and what could not be found out."""

    users: Mapping[str, Sequence[str]]
    """By the ARN of a role who has it: `node group demo-nodes`, …"""
    errors: Sequence[WharfingerError]


async def find_roles(eks: Eks) -> NodeRoles:
    """Those that EKS knows of; nodes that join by themselves, and node classes of Auto Mode's own, it does not list."""
    found = await asyncio.gather(settled(_groups(eks)), settled(_profiles(eks)), settled(_auto_mode(eks)))
    users: dict[str, list[str]] = {}
    for user, role in (pair for one in found if not isinstance(one, WharfingerError) for pair in one.items()):
        users.setdefault(role, []).append(user)
    return NodeRoles(users, [one for one in found if isinstance(one, WharfingerError)])


async def check_roles(iam: Iam, roles: NodeRoles, repository_arn: str, own_policy: Document | None = None) -> Finding:
    """Whether every role may pull from the repository, as far as the nodes' side decides it.

    :param own_policy: that of the repository, where it is of the nodes' account: what it grants a role, counts.
    """
    judged = await asyncio.gather(
        *(_judge(iam, role, users, repository_arn, own_policy) for role, users in sorted(roles.users.items()))
    )
    findings = [*judged, *map(tripped, roles.errors)]
    return joined(findings) if findings else _NOT_LISTED


async def _groups(eks: Eks) -> Mapping[str, str]:
    return {f"node group {name}": role for name, role in (await eks.node_group_roles()).items()}


async def _profiles(eks: Eks) -> Mapping[str, str]:
    return {f"Fargate profile {name}": role for name, role in (await eks.fargate_roles()).items()}


async def _auto_mode(eks: Eks) -> Mapping[str, str]:
    role = await eks.auto_mode_role()
    return {"Auto Mode": role} if role else {}


async def _judge(
    iam: Iam, role_arn: str, users: Sequence[str], repository_arn: str, own_policy: Document | None
) -> Finding:
    role = role_arn.rpartition("/")[2]
    named = f"Role {role} ({', '.join(users)})"
    is_bounded, found = await asyncio.gather(settled(iam.has_boundary(role)), settled(_policies(iam, role)))
    if is_bounded is None:
        return Finding(Verdict.FAILED, f"{named} does not exist.", f"Make role {role} anew, or name another.")
    if isinstance(is_bounded, WharfingerError):
        return tripped(is_bounded)
    if isinstance(found, WharfingerError):
        return tripped(found)
    documents, unread = found
    if own_policy is not None:
        documents.append(direct_grants(own_policy, role_arn=role_arn, repository_arn=repository_arn))
    policies = RolePolicies(documents, list(unread), is_bounded)
    if denied := denied_actions(policies, repository_arn):
        return Finding(Verdict.FAILED, f"{named} is denied: {', '.join(denied)}.", _TAKE_AWAY.format(role=role))
    doubts = [*unread.values(), *([_BOUNDED] if is_bounded else [])]
    return _finding(named, role, pull_rights(policies, repository_arn), doubts)


def _finding(named: str, role: str, rights: Mapping[str, Certainty], doubts: Sequence[str]) -> Finding:
    missing = [action for action, right in rights.items() if right is Certainty.NO]
    if missing:
        return Finding(Verdict.FAILED, f"{named} may not: {', '.join(missing)}.", _ATTACH.format(role=role))
    unsure = [action for action, right in rights.items() if right is Certainty.MAYBE]
    if not unsure:
        return Finding(Verdict.OK, f"{named} may pull.")
    reasons = " ".join(doubts) or "Its policies set conditions."
    detail = f"Whether {named} may {', '.join(unsure)} is not certain. {reasons}"
    return Finding(Verdict.UNKNOWN, detail, _CONFIRM.format(role=role))


async def _policies(iam: Iam, role: str) -> tuple[list[Document], dict[str, str]]:
    """The documents of a role's policies; and by the name of a policy, why its document is not among them."""
    attached, inline = await all_of((iam.attached_policies(role), iam.inline_policies(role)))
    found = await asyncio.gather(
        *(settled(_managed(iam, one)) for one in attached),
        *(settled(iam.inline_document(role, one)) for one in inline),
    )
    documents = [one for one in found if not isinstance(one, WharfingerError)]
    named = zip([*attached, *inline], found, strict=True)
    return documents, {name: one.detail for name, one in named if isinstance(one, WharfingerError)}


async def _managed(iam: Iam, policy_arn: str) -> Document:
    try:
        return await iam.managed_document(policy_arn)
    except WharfingerError:
        known = known_document(policy_arn)
        if known is None:
            raise
        return known
