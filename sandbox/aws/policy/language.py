"""What all parts of a policy document are written in: a string or a list of them, with wildcards."""

import json
import re
from collections.abc import Iterable

_ARN_COMPONENTS = 6


class MalformedPolicyError(ValueError):
    """A document that AWS would refuse; the text says where and why."""


def strings(value: object, where: str) -> tuple[str, ...]:
    """The one value or the several; numbers and Booleans as JSON writes them.

    :raises MalformedPolicyError: something else, or nothing.
    """
    values = value if isinstance(value, list) else [value]
    if not values:
        raise MalformedPolicyError(f"{where} must not be empty")
    for one in values:
        if not isinstance(one, str | int | float):
            raise MalformedPolicyError(f"{where} must be a string or a list of strings")
    return tuple(one if isinstance(one, str) else json.dumps(one) for one in values)


def any_of(expressions: Iterable[str], flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    """Matches, as a whole, what one of the expressions matches."""
    return re.compile("|".join(f"(?:{one})" for one in expressions), flags | re.DOTALL)


def glob(pattern: str, character: str = ".") -> str:
    """The regular expression of a pattern with `*` and `?`, each standing for `character`s.

    What stands between two `*` is taken where it first comes and never looked for again: only so the time that matching
    takes does not double with each `*`.
    """
    first, *rest = (_literal(part, character) for part in re.split(r"\*+", pattern))
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>{character}*?{part})" for part in middle) + f"{character}*{last}"


def _literal(part: str, character: str) -> str:
    return "".join(character if one == "?" else re.escape(one) for one in part)


def arn_glob(pattern: str) -> str:
    """As `glob`, where a wildcard does not reach over a colon before the last component of the ARN.

    Source: IAM user guide, "IAM JSON policy elements: Resource" and "Condition operators", ARN operators.
    """
    components = pattern.split(":", _ARN_COMPONENTS - 1)
    if len(components) < _ARN_COMPONENTS:
        return glob(pattern)
    *fixed, last = components
    return ":".join([*(glob(one, "[^:]") for one in fixed), glob(last)])
