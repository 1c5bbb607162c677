"""Label and field selectors: by what something is equal to.

Source: Kubernetes documentation, "Labels and Selectors", "Field Selectors".
"""

import re
from collections.abc import Callable
from typing import Any

from sandbox.kube.errors import bad_request
from sandbox.kube.kinds import Kind
from sandbox.kube.store import Object

Selects = Callable[[Object], bool]
_EQUAL = re.compile(r"\s*([^\s,!=()]+)\s*==?\s*([^\s,!=()]*)\s*")
_FIELDS = ("metadata.name", "metadata.namespace")


def selector(kind: Kind, labels: str, fields: str) -> Selects:
    """What both selectors select; an empty one selects all.

    :raises StatusError: 400, one cannot be read, or its field cannot be selected by.
    """
    wanted = [*_labels(labels), *_fields(kind, fields)]
    return lambda live: all(one(live) for one in wanted)


def matches(selecting: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a LabelSelector object selects labels."""
    if any(labels.get(key) != value for key, value in (selecting.get("matchLabels") or {}).items()):
        return False
    return all(_expression(one, labels) for one in selecting.get("matchExpressions") or [])


def _expression(one: dict[str, Any], labels: dict[str, str]) -> bool:
    key, values = one["key"], one.get("values") or []
    return {
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }[one["operator"]]


def _labels(text: str) -> list[Selects]:
    return [_label(one) for one in text.split(",") if one.strip()]


def _label(text: str) -> Selects:
    if not (matched := _EQUAL.fullmatch(text)):
        raise bad_request(f"unable to parse requirement: {text}")
    key, value = matched.groups()
    return lambda live: (live["metadata"].get("labels") or {}).get(key) == value


def _fields(kind: Kind, text: str) -> list[Selects]:
    return [_field(kind, one) for one in text.split(",") if one.strip()]


def _field(kind: Kind, text: str) -> Selects:
    if not (matched := _EQUAL.fullmatch(text)):
        raise bad_request(f"invalid selector: '{text}'; can't understand '{text}'")
    path, value = matched.groups()
    if path not in _FIELDS:
        raise bad_request(
            f'Unable to find "{kind.group}/{kind.version}, Resource={kind.plural}" that match label selector "", '
            f'field selector "{text}": field label not supported: {path}'
        )
    name = path.partition(".")[2]
    return lambda live: live["metadata"].get(name, "") == value
