"""The gate `repository_policy`: whether the repository lets the nodes in, as far as its own policy decides it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from service.clients.registry import Registry
from service.gates.findings import Finding
from service.gates.pull_gate import PullGate
from service.gates.subject import Subject
from service.iam.documents import Document, hash_of
from service.iam.grants import denials, grants
from service.iam.matching import Certainty, having
from service.models.preflights import Verdict

_GRANT = (
    "Add to the policy what GET /v1/policy-templates/cross-account-pull?account={account} answers: "
    "PUT /v1/policies/repositories/{repository}?registry={registry}."
)


class RepositoryPolicy(PullGate):
    """A repository of the nodes' own account lets them in unless it denies them; one of another needs its grant."""

    name = "repository_policy"

    async def judge_pull(self, subject: Subject, home: Registry) -> Finding:
        policy = await subject.policy
        roles = sorted((await subject.pull_roles).users)
        nodes = _Nodes(home.settings.account_id, roles)
        if subject.registry.settings.account_id == nodes.account:
            return _judge_own(policy, subject.image.repository, nodes)
        return _judge_foreign(policy, subject.image.repository, subject.registry.name, nodes)


@dataclass(frozen=True, slots=True)
class _Nodes:
    """Whom a policy has to let in."""

    account: str
    role_arns: Sequence[str]

    def together(
        self,
        judge: Callable[..., dict[str, Certainty]],
        document: Document,
        choose: Callable[[Iterable[Certainty]], Certainty],
    ) -> dict[str, Certainty]:
        """Of each action what the roles come to; without any, what is so for a role that is not known."""
        roles: Sequence[str | None] = self.role_arns or [None]
        judged = [judge(document, account=self.account, role_arn=one) for one in roles]
        return {action: choose(one[action] for one in judged) for action in judged[0]}


def _judge_own(policy: Document | None, repository: str, nodes: _Nodes) -> Finding:
    evidence = {"account": nodes.account, "roles": nodes.role_arns, "policy": policy and hash_of(policy)}
    denied = {} if policy is None else nodes.together(denials, policy, max)
    if certain := having(denied, Certainty.YES):
        reason = f"The policy of {repository} denies the nodes {', '.join(certain)}."
        advice = "Take that Deny out of the policy, or except the role of the nodes."
        return Finding(Verdict.FAILED, reason, advice, evidence)
    if having(denied, Certainty.MAYBE):
        reason = f"The policy of {repository} may deny the nodes a pull: that hangs on a condition or on exceptions."
        return Finding(Verdict.UNKNOWN, reason, "See that no Deny of the policy is about the nodes.", evidence)
    reason = f"The repository is of the nodes' own account, {nodes.account}, and denies them nothing."
    return Finding(Verdict.PASSED, reason, evidence=evidence)


def _judge_foreign(policy: Document | None, repository: str, registry: str, nodes: _Nodes) -> Finding:
    account = nodes.account
    evidence = {"account": account, "roles": nodes.role_arns, "policy": policy and hash_of(policy)}
    advice = _GRANT.format(account=account, repository=repository, registry=registry)
    if policy is None:
        reason = f"Repository {repository} has no policy, and the nodes are of another account, {account}."
        return Finding(Verdict.FAILED, reason, advice, evidence)
    granted = nodes.together(grants, policy, min)
    if missing := having(granted, Certainty.NO):
        reason = f"The policy of {repository} does not let nodes of account {account}: {', '.join(missing)}."
        return Finding(Verdict.FAILED, reason, advice, evidence)
    if unsure := having(granted, Certainty.MAYBE):
        reason = f"The policy of {repository} may let nodes of account {account} {', '.join(unsure)}, or may not."
        return Finding(Verdict.UNKNOWN, reason, advice, evidence)
    reason = f"The policy of {repository} lets nodes of account {account} pull."
    return Finding(Verdict.PASSED, reason, evidence=evidence)
