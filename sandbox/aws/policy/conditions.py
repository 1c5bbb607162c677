"""The Condition element. Source: IAM user guide, "IAM JSON policy elements: Condition operators"."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sandbox.aws.policy.language import MalformedPolicyError, any_of, arn_glob, glob, strings

_EXPRESSIONS: Mapping[str, tuple[Callable[[str], str], re.RegexFlag]] = {
    "StringEquals": (re.escape, re.NOFLAG),
    "StringEqualsIgnoreCase": (re.escape, re.IGNORECASE),
    "StringLike": (glob, re.NOFLAG),
    "ArnEquals": (arn_glob, re.NOFLAG),
    "ArnLike": (arn_glob, re.NOFLAG),
    "Bool": (re.escape, re.IGNORECASE),
}
_OPPOSITES = {
    "StringNotEquals": "StringEquals",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
}
_IF_EXISTS = "IfExists"
_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Condition:
    """One key under one operator: what its value must, or must not, match as a whole."""

    key: str
    pattern: re.Pattern[str]
    is_negated: bool
    holds_without_key: bool

    def holds(self, context: Mapping[str, str]) -> bool:
        """:param context: values by lower-cased name of the key."""
        value = context.get(self.key)
        if value is None:
            return self.holds_without_key
        return (self.pattern.fullmatch(value) is not None) != self.is_negated


def parse_conditions(block: object, where: str) -> tuple[Condition, ...]:
    """The conditions of a statement, all of which must hold.

    :raises MalformedPolicyError:
    """
    return tuple(
        _condition(operator, key, value, f"{where}.{operator}.{key}")
        for operator, keys in _items(block, where)
        for key, value in _items(keys, f"{where}.{operator}")
    )


def _items(block: object, where: str) -> Iterator[tuple[str, object]]:
    if not isinstance(block, dict):
        raise MalformedPolicyError(f"{where} must be an object")
    return iter(block.items())


def _condition(operator: str, key: str, value: object, where: str) -> Condition:
    values = strings(value, where)
    if operator == "Null":
        return _null(key, values, where)
    name = operator.removesuffix(_IF_EXISTS)
    positive = _OPPOSITES.get(name, name)
    if positive not in _EXPRESSIONS:
        raise MalformedPolicyError(f"{where}: unknown operator {operator!r}")
    expression, flags = _EXPRESSIONS[positive]
    is_negated = name in _OPPOSITES
    return Condition(
        key=key.lower(),
        pattern=any_of(map(expression, values), flags),
        is_negated=is_negated,
        holds_without_key=is_negated or operator.endswith(_IF_EXISTS),
    )


def _null(key: str, values: tuple[str, ...], where: str) -> Condition:
    truth = {_TRUTH.get(value.lower()) for value in values}
    if None in truth:
        raise MalformedPolicyError(f"{where} must be true or false")
    return Condition(key.lower(), any_of([".*"]), is_negated=False not in truth, holds_without_key=True in truth)
