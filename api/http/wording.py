"""What is wrong with a value, said to people: no name of a Python type, and beside a pattern what would fit."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import ErrorDetails

_OBJECT, _ARRAY = "must be an object", "must be an array"
_WHOLE_NUMBER, _NUMBER = "must be a whole number", "must be a number"
_TIME = "must be a time with its zone, like 2030-01-31T12:00:00Z"
_DURATION = "must be a duration of ISO 8601, like PT5M"
_UUID = "must be a UUID"

_REASONS = {
    "missing": "is required",
    "extra_forbidden": "is not known here",
    "json_invalid": "is not JSON from character {loc[1]} on: {error}",
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "list_type": _ARRAY,
    "tuple_type": _ARRAY,
    "set_type": _ARRAY,
    "frozen_set_type": _ARRAY,
    "too_short": "must have {min_length} or more items",
    "too_long": "must have {max_length} items at most",
    "string_type": "must be a string",
    "string_unicode": "must be a string of Unicode characters",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have {max_length} characters at most",
    "string_pattern_mismatch": "must match {pattern}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": _WHOLE_NUMBER,
    "int_parsing": _WHOLE_NUMBER,
    "int_parsing_size": _WHOLE_NUMBER,
    "int_from_float": _WHOLE_NUMBER,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": _NUMBER,
    "greater_than": "must be greater than {gt:.15g}",
    "greater_than_equal": "must be {ge:.15g} or more",
    "less_than": "must be less than {lt:.15g}",
    "less_than_equal": "must be {le:.15g} or less",
    "none_required": "must be null",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "datetime_type": _TIME,
    "datetime_parsing": _TIME,
    "datetime_from_date_parsing": _TIME,
    "datetime_object_invalid": _TIME,
    "timezone_aware": _TIME,
    "time_delta_type": _DURATION,
    "time_delta_parsing": _DURATION,
    "uuid_type": _UUID,
    "uuid_parsing": _UUID,
    "uuid_version": _UUID,
}
"""By pydantic's types of errors; what is not here has words of ours, or fit ones of pydantic's."""


def reason_of(error: ErrorDetails, examples: Mapping[str, str]) -> str:
    """`examples` has what fits, by pattern."""
    facts = {"loc": error["loc"]} | error.get("ctx", {})
    template = _REASONS.get(error["type"])
    reason = template.format(**facts) if template else error["msg"].removeprefix("Value error, ")
    fits = examples.get(facts.get("pattern", ""))
    return f"{reason}, like {fits}" if fits else reason


def examples_of(described: Any) -> dict[str, str]:  # noqa: ANN401 - JSON
    """What fits each pattern of a contract, by its own examples."""
    if isinstance(described, list):
        described = dict(enumerate(described))
    if not isinstance(described, dict):
        return {}
    examples: dict[str, str] = {}
    for below in described.values():
        examples |= examples_of(below)
    if described.get("examples"):
        # What may be null has its example beside its choices, and its pattern within.
        forms = [described, *described.get("anyOf", ())]
        examples |= {one["pattern"]: str(described["examples"][0]) for one in forms if "pattern" in one}
    return examples
