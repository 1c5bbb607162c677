"""Whether a repository policy lets in the broker role, from whose sessions vended credentials are narrowed.

Within one account a grant to a session, or to everyone under a condition on `aws:PrincipalArn`, is not limited by what
its session policy leaves out (IAM User Guide, "How AWS enforcement code logic evaluates requests to allow or deny
access"). The session policies deny all of that explicitly, and such a grant doesn't get past a Deny; this keeps it out
of repository policies as well. AWS tells letter case apart in some of these names only, so here it is let go.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from service.base import globs
from service.iam.documents import Document, as_list
from service.iam.grammar import each

_WHO = "aws:principalarn"
_OPERATOR = re.compile(r"(?:ForAllValues:|ForAnyValue:)?(?P<name>[A-Za-z]+?)(?:IfExists)?")
_POSITIVE = {"StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike", "Bool"}
_LEAST_COLONS = 5
"""Of a whole ARN: what AWS makes of less is not documented."""

Statement = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Broker:
    """The broker role, and what condition keys are known to hold when one of its sessions asks."""

    role_arn: str

    @property
    def account(self) -> str:
        return self.role_arn.split(":")[4]

    @property
    def context(self) -> dict[str, str]:
        return {
            _WHO: self.role_arn,
            "aws:principalaccount": self.account,
            "aws:principaltype": "AssumedRole",
            "aws:principalisawsservice": "false",
        }

    def is_named_by(self, principal: str) -> bool:
        """Whether this is the role or one of its sessions, whose ARNs lack the role's path."""
        path = self.role_arn.split(":", _LEAST_COLONS)[_LEAST_COLONS].lower()
        name = path.rpartition("/")[2]
        named = principal.lower()
        return named.endswith(f":iam::{self.account}:{path}") or f":sts::{self.account}:assumed-role/{name}/" in named


def places_of_broker(document: Document, role_arn: str) -> list[str]:
    """Where a policy lets the role in, by its name or otherwise: `body.Statement[0].Principal.AWS`."""
    broker = Broker(role_arn)
    return [
        place
        for path, statement in each("body.Statement", document["Statement"])
        if statement["Effect"] == "Allow" and not _is_kept_out(statement, broker)
        for place in _places(path, statement, broker)
    ]


def _places(path: str, statement: Statement, broker: Broker) -> Iterator[str]:
    if "NotPrincipal" in statement:
        yield f"{path}.NotPrincipal"
        return
    principal = statement["Principal"]
    if principal == "*":
        yield f"{path}.Principal"
        return
    for place, one in each(f"{path}.Principal.AWS", principal["AWS"]) if "AWS" in principal else ():
        is_own_account = one == broker.account or one.endswith(f":iam::{broker.account}:root")
        if one == "*" or broker.is_named_by(one) or (is_own_account and _is_named_in_conditions(statement)):
            yield place


def _is_named_in_conditions(statement: Statement) -> bool:
    """Called where no condition keeps the role out: one that asks who it is, then, lets it in."""
    return any(key == _WHO and name in _POSITIVE for name, key, _ in _conditions(statement))


def _is_kept_out(statement: Statement, broker: Broker) -> bool:
    """Whether a condition certainly fails for every session of the role."""
    context = broker.context
    return any(
        key in context and _certainly_fails(name, values, context[key]) for name, key, values in _conditions(statement)
    )


def _conditions(statement: Statement) -> Iterator[tuple[str, str, list[str]]]:
    """Operators without `IfExists` and the like, which change nothing for a key that is there; keys in lower case."""
    for operator, keys in statement.get("Condition", {}).items():
        written = _OPERATOR.fullmatch(operator)
        for key, values in keys.items():
            texts = [one if isinstance(one, str) else json.dumps(one) for one in as_list(values)]
            yield written["name"] if written else operator, key.lower(), texts


def _certainly_fails(name: str, values: list[str], known: str) -> bool:
    if name == "Null":
        return all(value.lower() == "true" for value in values)
    if name in _POSITIVE:
        return not any("${" in value or _matches(name, value.lower(), known.lower()) for value in values)
    positive = name.replace("Not", "")
    return positive in _POSITIVE and any(
        "${" not in value and _certainly_matches(positive, value, known) for value in values
    )


def _certainly_matches(name: str, value: str, known: str) -> bool:
    return (not name.startswith("Arn") or value.count(":") >= _LEAST_COLONS) and _matches(name, value, known)


def _matches(name: str, value: str, known: str) -> bool:
    if name.startswith("Arn"):
        return globs.matches_arn(value, known)
    if name == "StringLike":
        return globs.matches(value, known)
    return value == known or (name == "StringEqualsIgnoreCase" and value.lower() == known.lower())
