"""Whom a repository policy lets pull: decided on the document, without asking AWS."""

import re

from service.clients.ecr.actions import PULL
from service.iam.documents import Document, as_list
from service.iam.matching import Certainty, Statement, covers, decide, statements_of

_ACCOUNT = re.compile(r"(?:arn:aws[a-z-]*:iam::)?(?P<id>[0-9]{12})(?::root)?")


def grants(document: Document, *, account: str, role_arn: str | None) -> dict[str, Certainty]:
    """Of each action of a pull whether the policy lets a node's role do it; the login is no matter of a repository.

    :param account: that of the role. In the repository's own account no grant is needed, and only a Deny matters.
    :param role_arn: None: the role is not known, so that a policy which names a role of the account may mean it.
    """
    return {action: decide(_effects(document, action, account, role_arn)) for action in PULL}


def denials(document: Document, *, account: str, role_arn: str | None) -> dict[str, Certainty]:
    """Of each action of a pull whether the policy takes it from a node's role, whoever allows it."""
    return {
        action: max(
            (certainty for effect, certainty in _effects(document, action, account, role_arn) if effect == "Deny"),
            default=Certainty.NO,
        )
        for action in PULL
    }


def direct_grants(document: Document, *, role_arn: str, repository_arn: str) -> Document:
    """What a policy of the role's own account allows the role itself, as one of the role's policies would say it.

    Beside the identity's policies such a grant is enough, and one to the account is none (IAM User Guide, "Policy
    evaluation for requests within a single account").
    """
    granted = [
        {name: value for name, value in one.items() if name != "Principal"} | {"Resource": repository_arn}
        for one in statements_of([document])
        if one["Effect"] == "Allow" and {"*", role_arn} & set(_named(one))
    ]
    return {"Statement": granted}


def _effects(document: Document, action: str, account: str, role_arn: str | None) -> list[tuple[str, Certainty]]:
    """Of each statement its effect, and whether it has that on such a request of the role."""
    return [
        (one["Effect"], min(covers(one, action, None), _concerns(one, account, role_arn)))
        for one in statements_of([document])
    ]


def _concerns(statement: Statement, account: str, role_arn: str | None) -> Certainty:
    """Whether a statement is about the role.

    NotPrincipal spares a session only where it names the session itself beside role and account (IAM User Guide, "IAM
    JSON policy elements: NotPrincipal"), and the sessions of nodes are named by their instances.
    """
    if "NotPrincipal" in statement:
        return Certainty.MAYBE
    return max((_is_named(one, account, role_arn) for one in _named(statement)), default=Certainty.NO)


def _named(statement: Statement) -> list[str]:
    principal = statement.get("Principal", [])
    named = principal.get("AWS", []) if isinstance(principal, dict) else principal
    return [str(one) for one in as_list(named)]


def _is_named(principal: str, account: str, role_arn: str | None) -> Certainty:
    whole = _ACCOUNT.fullmatch(principal)
    if principal in ("*", role_arn) or (whole and whole["id"] == account):
        return Certainty.YES
    is_role_there = re.fullmatch(rf"arn:aws[a-z-]*:iam::{account}:role/.+", principal) is not None
    return Certainty.MAYBE if role_arn is None and is_role_there else Certainty.NO
