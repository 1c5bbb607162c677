"""What is wrong with a field, in the API server's words.

Source: apimachinery pkg/util/validation and pkg/util/validation/field.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

Cause = dict[str, str]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SERVICE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_ENV = re.compile(r"[ -<>-~]+")
_PORT_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_LONGEST_LABEL, _LONGEST_SUBDOMAIN, _LONGEST_PORT_NAME = 63, 253, 15
_LAST_PORT = 65535
_ALPHANUMERIC = "must start and end with an alphanumeric character"
_VALIDATION = "regex used for validation is"


def invalid(field: str, value: Any, why: str) -> Cause:  # noqa: ANN401 - any JSON
    return _cause("Invalid", field, f"Invalid value: {_shown(value)}: {why}")


def required(field: str, why: str = "") -> Cause:
    return _cause("Required", field, f"Required value: {why}" if why else "Required value")


def duplicate(field: str, value: Any) -> Cause:  # noqa: ANN401 - any JSON
    return _cause("Duplicate", field, f"Duplicate value: {_shown(value)}")


def unsupported(field: str, value: Any, choices: tuple[str, ...]) -> Cause:  # noqa: ANN401 - any JSON
    listed = ", ".join(f'"{one}"' for one in choices)
    return _cause("NotSupported", field, f"Unsupported value: {_shown(value)}: supported values: {listed}")


def forbidden(field: str, why: str) -> Cause:
    return _cause("Forbidden", field, f"Forbidden: {why}")


def dns_label(field: str, name: str) -> Iterator[Cause]:
    if len(name) > _LONGEST_LABEL:
        yield _too_long(field, name, _LONGEST_LABEL)
    if not _LABEL.fullmatch(name):
        yield invalid(field, name, _LABEL_RULE)


def dns_subdomain(field: str, name: str) -> Iterator[Cause]:
    if len(name) > _LONGEST_SUBDOMAIN:
        yield _too_long(field, name, _LONGEST_SUBDOMAIN)
    if not _SUBDOMAIN.fullmatch(name):
        yield invalid(field, name, _SUBDOMAIN_RULE)


def service_name(field: str, name: str) -> Iterator[Cause]:
    if len(name) > _LONGEST_LABEL:
        yield _too_long(field, name, _LONGEST_LABEL)
    if not _SERVICE.fullmatch(name):
        yield invalid(field, name, _SERVICE_RULE)


def labels(field: str, given: dict[str, str]) -> Iterator[Cause]:
    for key, value in given.items():
        yield from label_key(field, key)
        if len(value) > _LONGEST_LABEL:
            yield _too_long(field, value, _LONGEST_LABEL)
        if not _VALUE.fullmatch(value):
            yield invalid(field, value, _VALUE_RULE)


def label_key(field: str, key: str) -> Iterator[Cause]:
    """Of labels and of annotations."""
    prefix, slash, name = key.rpartition("/")
    if slash and not _SUBDOMAIN.fullmatch(prefix):
        yield invalid(field, key, f"prefix part {_SUBDOMAIN_RULE}")
    if not name:
        yield invalid(field, key, "name part must be non-empty")
    if len(name) > _LONGEST_LABEL:
        yield invalid(field, key, f"name part must be no more than {_LONGEST_LABEL} bytes")
    if not name or not _VALUE.fullmatch(name):
        yield invalid(field, key, f"name part {_KEY_RULE}")


def env_name(field: str, name: str) -> Iterator[Cause]:
    if not name:
        yield required(field)
    elif not _ENV.fullmatch(name):
        yield invalid(field, name, _ENV_RULE)


def port(field: str, value: int) -> Iterator[Cause]:
    if not 1 <= value <= _LAST_PORT:
        yield invalid(field, value, f"must be between 1 and {_LAST_PORT}, inclusive")


def port_name(field: str, name: str) -> Iterator[Cause]:
    """An IANA service name."""
    if len(name) > _LONGEST_PORT_NAME:
        yield invalid(field, name, f"must be no more than {_LONGEST_PORT_NAME} characters")
    if not _PORT_NAME.fullmatch(name):
        text = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
        yield invalid(field, name, text)
    if not re.search(r"[a-z]", name):
        yield invalid(field, name, "must contain at least one letter (a-z)")
    if "--" in name:
        yield invalid(field, name, "must not contain consecutive hyphens")


def not_negative(field: str, value: int | None) -> Iterator[Cause]:
    if value is not None and value < 0:
        yield invalid(field, value, "must be greater than or equal to 0")


def _too_long(field: str, value: str, most: int) -> Cause:
    return invalid(field, value, f"must be no more than {most} bytes")


def _cause(reason: str, field: str, message: str) -> Cause:
    return {"reason": f"FieldValue{reason}", "message": message, "field": field}


def _shown(value: Any) -> str:  # noqa: ANN401 - any JSON
    return json.dumps(value, separators=(",", ":"))


def _example(*shown: str) -> str:
    return "e.g. " + ", or ".join(f"'{one}'" for one in shown)


_LABEL_RULE = (
    f"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and {_ALPHANUMERIC} "
    f"({_example('my-name', '123-abc')}, {_VALIDATION} '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and "
    f"{_ALPHANUMERIC} ({_example('example.com')}, "
    f"{_VALIDATION} '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_SERVICE_RULE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    f"and end with an alphanumeric character ({_example('my-name', 'abc-123')}, "
    f"{_VALIDATION} '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and "
    f"{_ALPHANUMERIC} ({_example('MyValue', 'my_value', '12345')}, "
    f"{_VALIDATION} '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_KEY_RULE = (
    f"must consist of alphanumeric characters, '-', '_' or '.', and {_ALPHANUMERIC} "
    f"({_example('MyName', 'my.name', '123-abc')}, {_VALIDATION} '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_ENV_RULE = (
    "a valid environment variable name must consist only of printable ASCII characters other than '=' "
    f"({_example('my.env-name', 'MY_ENV.NAME', 'MyEnvName1')}, {_VALIDATION} '[ -<>-~]+')"
)
