"""Policy documents as typed values. Source: IAM user guide, "Grammar of the IAM JSON policy language"."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sandbox.aws.policy.conditions import Condition, parse_conditions
from sandbox.aws.policy.language import MalformedPolicyError, any_of, arn_glob, glob, strings

_VERSIONS = ("2012-10-17", "2008-10-17")
_ACCOUNT_ID = re.compile(r"[0-9]{12}")
_ROOT_ARN = re.compile(r"arn:aws[a-z-]*:iam::([0-9]{12}):root")
_PRINCIPAL_ARN = re.compile(
    r"arn:aws[a-z-]*:(?:iam::[0-9]{12}:(?:user|role|oidc-provider|saml-provider)/[\w+=,.@/-]+|sts::[0-9]{12}:assumed-role/[\w+=,.@-]+/[\w+=,.@-]+)",
    re.ASCII,
)
_DOCUMENT_KEYS = frozenset({"Version", "Id", "Statement"})
_STATEMENT_KEYS = frozenset(
    {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "NotPrincipal", "Condition"}
)
_PRINCIPAL_TYPES = frozenset({"AWS", "Service", "Federated", "CanonicalUser"})


@dataclass(frozen=True, slots=True)
class Pattern:
    """The values of an element such as Action, or of its Not… form."""

    expression: re.Pattern[str]
    is_negated: bool

    def matches(self, value: str) -> bool:
        return (self.expression.fullmatch(value) is not None) != self.is_negated


@dataclass(frozen=True, slots=True)
class Principals:
    """Whom a Principal element names, or a NotPrincipal element leaves out."""

    is_everyone: bool
    accounts: frozenset[str]
    arns: frozenset[str]
    """Users, roles and sessions."""
    is_negated: bool


@dataclass(frozen=True, slots=True)
class Statement:
    is_deny: bool
    actions: Pattern
    resources: Pattern | None
    """None, as in repository and trust policies: any resource."""
    principals: Principals | None
    conditions: tuple[Condition, ...]

    def covers(self, action: str, resource: str, context: Mapping[str, str]) -> bool:
        """Whether it speaks of such a request, whoever makes it."""
        return (
            self.actions.matches(action)
            and (self.resources is None or self.resources.matches(resource))
            and all(condition.holds(context) for condition in self.conditions)
        )


@dataclass(frozen=True, slots=True)
class Policy:
    statements: tuple[Statement, ...]


@lru_cache(maxsize=1024)
def parse(text: str) -> Policy:
    """The policy that a JSON text describes.

    :raises MalformedPolicyError: AWS would refuse it, or it has a condition operator that the sandbox does not know.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedPolicyError(f"not JSON: {error}") from None
    _check_keys(document, _DOCUMENT_KEYS, "the policy")
    if document.get("Version", _VERSIONS[-1]) not in _VERSIONS:
        raise MalformedPolicyError(f"Version must be one of {', '.join(_VERSIONS)}")
    given = document.get("Statement")
    statements = given if isinstance(given, list) else [given]
    if not statements:
        raise MalformedPolicyError("Statement must not be empty")
    return Policy(tuple(_statement(one, f"Statement[{place}]") for place, one in enumerate(statements)))


def _statement(given: Any, where: str) -> Statement:  # noqa: ANN401 - JSON
    _check_keys(given, _STATEMENT_KEYS, where)
    if given.get("Effect") not in ("Allow", "Deny"):
        raise MalformedPolicyError(f"{where}.Effect must be Allow or Deny")
    actions = _actions(given, where)
    if actions is None:
        raise MalformedPolicyError(f"{where} must have Action or NotAction")
    is_deny = given["Effect"] == "Deny"
    principals = _principals(given, where)
    if principals is not None and principals.is_negated and not is_deny:
        raise MalformedPolicyError(f"{where}.NotPrincipal can only be used with Deny")
    conditions = parse_conditions(given.get("Condition", {}), f"{where}.Condition")
    return Statement(is_deny, actions, _resources(given, where), principals, conditions)


def _check_keys(given: object, known: frozenset[str], where: str) -> None:
    if not isinstance(given, dict):
        raise MalformedPolicyError(f"{where} must be an object")
    if unknown := given.keys() - known:
        raise MalformedPolicyError(f"{where} has unknown elements: {', '.join(sorted(unknown))}")


def _either(given: Mapping[str, object], name: str, where: str) -> str | None:
    """Which of an element and its Not… form is there."""
    present = [one for one in (name, f"Not{name}") if one in given]
    if len(present) > 1:
        raise MalformedPolicyError(f"{where} must not have both {name} and Not{name}")
    return present[0] if present else None


def _actions(given: Mapping[str, object], where: str) -> Pattern | None:
    element = _either(given, "Action", where)
    if element is None:
        return None
    actions = strings(given[element], f"{where}.{element}")
    for action in actions:
        if action != "*" and not re.fullmatch(r"[\w*?-]+:[\w*?]+", action):
            raise MalformedPolicyError(f"{where}.{element}: {action!r} is not of the form service:Action")
    return Pattern(any_of(map(glob, actions), re.IGNORECASE), is_negated=element == "NotAction")


def _resources(given: Mapping[str, object], where: str) -> Pattern | None:
    element = _either(given, "Resource", where)
    if element is None:
        return None
    resources = strings(given[element], f"{where}.{element}")
    for resource in resources:
        if resource != "*" and not resource.startswith("arn:"):
            raise MalformedPolicyError(f"{where}.{element}: {resource!r} is neither an ARN nor '*'")
    return Pattern(any_of(map(arn_glob, resources)), is_negated=element == "NotResource")


def _principals(given: Mapping[str, object], where: str) -> Principals | None:
    element = _either(given, "Principal", where)
    if element is None:
        return None
    named = _aws_principals(given[element], f"{where}.{element}")
    accounts = {one: _account(one) for one in named}
    arns = frozenset(one for one in named if accounts[one] is None and one != "*")
    for arn in arns:
        if not _PRINCIPAL_ARN.fullmatch(arn):
            raise MalformedPolicyError(f"{where}.{element}: invalid principal {arn!r}")
    return Principals(
        is_everyone="*" in named,
        accounts=frozenset(account for account in accounts.values() if account is not None),
        arns=arns,
        is_negated=element == "NotPrincipal",
    )


def _aws_principals(value: object, where: str) -> tuple[str, ...]:
    """Those of types AWS and Federated: no request here is made by a service."""
    if value == "*":
        return ("*",)
    if not isinstance(value, dict) or not value:
        raise MalformedPolicyError(f"{where} must be '*' or an object such as {{\"AWS\": …}}")
    _check_keys(value, _PRINCIPAL_TYPES, where)
    named = {kind: strings(given, f"{where}.{kind}") for kind, given in value.items()}
    return (*named.get("AWS", ()), *named.get("Federated", ()))


def _account(principal: str) -> str | None:
    if _ACCOUNT_ID.fullmatch(principal):
        return principal
    match = _ROOT_ARN.fullmatch(principal)
    return match[1] if match else None
