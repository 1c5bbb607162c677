"""Whether a request is allowed. Source: IAM user guide, "Policy evaluation logic"."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from sandbox.aws.policy.document import Policy, Principals, parse


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request, with the policies attached to it."""

    account: str
    arn: str
    """`arn:aws:iam::A:user/x`, `arn:aws:sts::A:assumed-role/role/session` or `arn:aws:iam::A:root`."""
    role_arn: str | None
    """The role behind an assumed-role session, else None."""
    identity: tuple[str, ...]
    """Documents attached to the user or role, as JSON text."""
    session: tuple[str, ...] | None
    """Session policies; None when there are none, which limits nothing."""
    is_root: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    action: str
    resource: str
    """An ARN; `*` for a call that is about no resource."""
    principal: Principal
    context: Mapping[str, str] = field(default_factory=dict)
    """Condition keys in lower case. `aws:principalarn` and `aws:principalaccount` are known without being given."""


_WHO = "aws:principalarn"


class _Grant(IntEnum):
    """How far an Allow of a resource's policy carries within the resource's own account."""

    NONE = 0
    ACCOUNT = 1
    """The account is named: left to the identity's policies."""
    ROLE = 2
    """The session's role is named: nothing but a session policy limits it."""
    DIRECT = 3
    """The user or session is named: limited by nothing."""


def is_allowed(request: Request, *, resource_account: str, resource_policy: str | None) -> bool:
    """Whether the request may go ahead.

    :param resource_account: owner of the resource.
    :param resource_policy: the policy attached to the resource, as JSON text.
    :raises MalformedPolicyError: one of the documents cannot be read.
    """
    attached = parse(resource_policy) if resource_policy is not None else None
    facts = _Facts(request, attached)
    if facts.is_denied():
        return False
    grant = facts.grant()
    if request.principal.account != resource_account:
        return grant > _Grant.NONE and facts.is_allowed_by_own_policies()
    return facts.is_allowed_by_own_policies() or facts.is_sufficient(grant)


def is_trusted(trust_policy: str, request: Request, *, account: str) -> bool:
    """Whether the request to assume a role may go ahead; a role always has to name who may.

    :param account: owner of the role.
    :raises MalformedPolicyError: one of the documents cannot be read.
    """
    facts = _Facts(request, parse(trust_policy))
    grant = facts.grant()
    if facts.is_denied() or grant is _Grant.NONE:
        return False
    is_own = request.principal.account == account
    return (is_own and facts.is_sufficient(grant)) or facts.is_allowed_by_own_policies()


class _Facts:
    """What each kind of policy says of one request."""

    def __init__(self, request: Request, attached: Policy | None) -> None:
        self._request = request
        self._principal = request.principal
        self._attached = attached
        self._identity = [parse(text) for text in self._principal.identity]
        self._session = None if self._principal.session is None else [parse(text) for text in self._principal.session]
        # The ARN is the role's for a session: IAM user guide, "AWS global condition context keys", aws:PrincipalArn.
        self._context = {
            _WHO: self._principal.role_arn or self._principal.arn,
            "aws:principalaccount": self._principal.account,
            **request.context,
        }

    def is_denied(self) -> bool:
        return self._says([*self._identity, *(self._session or ())], is_deny=True) or any(
            _is_denied_to(principals, self._principal) for principals, _ in self._attached_principals(is_deny=True)
        )

    def grant(self) -> _Grant:
        """The widest that the resource's policy gives."""
        grants = (
            _grant(principals, self._principal, asks_who=asks_who)
            for principals, asks_who in self._attached_principals(is_deny=False)
        )
        return max(grants, default=_Grant.NONE)

    def is_allowed_by_own_policies(self) -> bool:
        is_allowed = self._principal.is_root or self._says(self._identity, is_deny=False)
        return is_allowed and self._is_within_session()

    def is_sufficient(self, grant: _Grant) -> bool:
        """Whether a grant of the resource's own account needs no policy of the identity beside it."""
        return grant is _Grant.DIRECT or (grant is _Grant.ROLE and self._is_within_session())

    def _is_within_session(self) -> bool:
        return self._session is None or self._says(self._session, is_deny=False)

    def _says(self, policies: Iterable[Policy], *, is_deny: bool) -> bool:
        request, context = self._request, self._context
        return any(
            statement.is_deny is is_deny and statement.covers(request.action, request.resource, context)
            for policy in policies
            for statement in policy.statements
        )

    def _attached_principals(self, *, is_deny: bool) -> Iterable[tuple[Principals, bool]]:
        """Whom the statements that speak of the request name, and whether a condition asks who they are."""
        request, context = self._request, self._context
        for statement in self._attached.statements if self._attached else ():
            if (
                statement.is_deny is is_deny
                and statement.principals
                and statement.covers(request.action, request.resource, context)
            ):
                yield statement.principals, any(one.key == _WHO for one in statement.conditions)


def _grant(named: Principals, principal: Principal, *, asks_who: bool = False) -> _Grant:
    # "*" with a condition on aws:PrincipalArn is not limited by a session policy: IAM user guide, "How AWS enforcement
    # code logic evaluates requests". Of "*" alone AWS does not say it: the narrower reading is taken.
    if principal.arn in named.arns or (named.is_everyone and asks_who):
        return _Grant.DIRECT
    if named.is_everyone or principal.role_arn in named.arns:
        return _Grant.DIRECT if principal.role_arn is None else _Grant.ROLE
    if principal.account in named.accounts:
        return _Grant.DIRECT if principal.is_root else _Grant.ACCOUNT
    return _Grant.NONE


def _is_denied_to(named: Principals, principal: Principal) -> bool:
    """NotPrincipal spares only a caller whose account, role and own ARN are all listed.

    Source: IAM user guide, "IAM JSON policy elements: NotPrincipal".
    """
    if not named.is_negated:
        return _grant(named, principal) > _Grant.NONE
    own = {principal.arn, principal.role_arn} - {None}
    is_listed = principal.account in named.accounts and (principal.is_root or own <= named.arns)
    return not (named.is_everyone or is_listed)
