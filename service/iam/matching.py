"""What the statements of IAM policies say of one request, as far as their text alone can tell.

From the IAM User Guide: "Policy evaluation logic" (an explicit Deny wins, and what nobody allows is refused), and "IAM
JSON policy elements" for Action, Resource and their Not… forms, and for policy variables.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import Any

from service.base import globs
from service.iam.documents import Document, as_list

Statement = Mapping[str, Any]

_VARIABLE = re.compile(r"\$\{[^}]*\}")


class Certainty(IntEnum):
    """Ordered, so that `min` is "and" and `max` is "or"."""

    NO = 0
    MAYBE = 1
    YES = 2

    @property
    def opposite(self) -> "Certainty":
        return Certainty(Certainty.YES - self)


def having(rights: Mapping[str, Certainty], certainty: Certainty) -> list[str]:
    """The actions of which just this is known."""
    return [action for action, known in rights.items() if known is certainty]


def statements_of(documents: Iterable[Document]) -> list[Statement]:
    return [one for document in documents for one in as_list(document.get("Statement", []))]


def covers(statement: Statement, action: str, resource: str | None) -> Certainty:
    """Whether a statement speaks of such a request. One with a condition may: what it asks about is not in its text.

    :param resource: an ARN, or `*` for a call that is about no resource; None: a policy that is itself a resource's.
    """
    return min(
        _element(statement, "Action", lambda pattern: _names_action(pattern, action)),
        Certainty.YES
        if resource is None
        else _element(statement, "Resource", lambda pattern: _names_resource(pattern, resource)),
        Certainty.MAYBE if statement.get("Condition") else Certainty.YES,
    )


def decide(effects: Iterable[tuple[str, Certainty]]) -> Certainty:
    """Whether a request is allowed, by the effect of each statement and whether the statement speaks of it."""
    strongest = {"Allow": Certainty.NO, "Deny": Certainty.NO}
    for effect, certainty in effects:
        strongest[effect] = max(strongest[effect], certainty)
    return min(strongest["Allow"], strongest["Deny"].opposite)


def _element(statement: Statement, name: str, match: Callable[[str], Certainty]) -> Certainty:
    for element in (name, f"Not{name}"):
        if element in statement:
            covered = max((match(str(one)) for one in as_list(statement[element])), default=Certainty.NO)
            return covered if element == name else covered.opposite
    return Certainty.MAYBE


def _names_action(pattern: str, action: str) -> Certainty:
    return _certainly(is_so=globs.matches(pattern.lower(), action.lower()))


def _names_resource(pattern: str, resource: str) -> Certainty:
    """A variable of the policy may stand for anything."""
    is_matched = globs.matches_arn(_VARIABLE.sub("*", pattern), resource)
    return min(_certainly(is_so=is_matched), Certainty.MAYBE if _VARIABLE.search(pattern) else Certainty.YES)


def _certainly(*, is_so: bool) -> Certainty:
    return Certainty.YES if is_so else Certainty.NO
