"""The gate `node_roles`: whether every role of the nodes may pull from the repository, as their side decides it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.base.errors import WharfingerError
from service.base.tasks import all_of, or_error
from service.clients.iam import Iam
from service.clients.registry import Registry
from service.gates.findings import Finding, joined, tripped
from service.gates.pull_gate import PullGate
from service.gates.subject import Subject
from service.iam.documents import Document
from service.iam.grants import direct_grants
from service.iam.matching import Certainty, having
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


class NodeRoles(PullGate):
    """What the repository's policy grants a role itself counts too, where both are of one account."""

    name = "node_roles"

    async def judge_pull(self, subject: Subject, home: Registry) -> Finding:
        roles, policy = await asyncio.gather(subject.pull_roles, or_error(subject.policy))
        is_own = subject.registry.settings.account_id == home.settings.account_id
        own_policy = None if isinstance(policy, WharfingerError) or not is_own else policy
        arn = subject.registry.settings.repository_arn(subject.image.repository)
        listed = [_Role(role_arn, users) for role_arn, users in sorted(roles.users.items())]
        judged = await asyncio.gather(*(_judge(home.iam, one, arn, own_policy) for one in listed))
        findings = [*judged, *map(tripped, roles.errors)]
        return joined(findings, {"roles": dict(roles.users)}) if findings else _NOT_LISTED


@dataclass(frozen=True, slots=True)
class _Role:
    arn: str
    users: Sequence[str]

    @property
    def name(self) -> str:
        return self.arn.rpartition("/")[2]

    def __str__(self) -> str:
        return f"Role {self.name} ({', '.join(self.users)})"


async def _judge(iam: Iam, role: _Role, repository_arn: str, own_policy: Document | None) -> Finding:
    is_bounded, policies = await asyncio.gather(or_error(iam.has_boundary(role.name)), or_error(_read(iam, role.name)))
    if is_bounded is None:
        return Finding(Verdict.FAILED, f"{role} does not exist.", f"Make role {role.name} anew, or name another.")
    if isinstance(is_bounded, WharfingerError):
        return tripped(is_bounded)
    if isinstance(policies, WharfingerError):
        return tripped(policies)
    documents, unread = policies
    if own_policy is not None:
        documents = [*documents, direct_grants(own_policy, role_arn=role.arn, repository_arn=repository_arn)]
    doubts = [*unread.values(), *([_BOUNDED] if is_bounded else [])]
    return _weigh(role, RolePolicies(documents, list(unread), is_bounded), repository_arn, doubts)


def _weigh(role: _Role, policies: RolePolicies, repository_arn: str, doubts: Sequence[str]) -> Finding:
    if denied := denied_actions(policies, repository_arn):
        return Finding(Verdict.FAILED, f"{role} is denied: {', '.join(denied)}.", _TAKE_AWAY.format(role=role.name))
    rights = pull_rights(policies, repository_arn)
    if missing := having(rights, Certainty.NO):
        return Finding(Verdict.FAILED, f"{role} may not: {', '.join(missing)}.", _ATTACH.format(role=role.name))
    if unsure := having(rights, Certainty.MAYBE):
        why = " ".join(doubts) or "Its policies set conditions."
        reason = f"Whether {role} may {', '.join(unsure)} is not certain. {why}"
        return Finding(Verdict.UNKNOWN, reason, _CONFIRM.format(role=role.name))
    return Finding(Verdict.PASSED, f"{role} may pull.")


async def _read(iam: Iam, role: str) -> tuple[Sequence[Document], Mapping[str, str]]:
    """The documents of a role's policies; and by the name of a policy, why its document is not among them."""
    attached, inline = await all_of((iam.attached_policies(role), iam.inline_policies(role)))
    answers = await asyncio.gather(
        *(or_error(_managed(iam, one)) for one in attached),
        *(or_error(iam.inline_document(role, one)) for one in inline),
    )
    named = zip([*attached, *inline], answers, strict=True)
    unread = {name: one.detail for name, one in named if isinstance(one, WharfingerError)}
    return [one for one in answers if not isinstance(one, WharfingerError)], unread


async def _managed(iam: Iam, policy_arn: str) -> Document:
    try:
        return await iam.managed_document(policy_arn)
    except WharfingerError:
        known = known_document(policy_arn)
        if known is None:
            raise
        return known
