"""Label and field selectors.

Source: Kubernetes documentation, "Labels and Selectors", "Field Selectors".
"""

import re
from collections.abc import Callable
from typing import Any

from sandbox.kube.errors import bad_request
from sandbox.kube.kinds import EVENT, POD, Kind
from sandbox.kube.store import Object

Selects = Callable[[Object], bool]
_ONE_OF = re.compile(r"\s*([^\s,!=()]+)\s+(in|notin)\s+\(([^)]*)\)\s*")
_EQUAL = re.compile(r"\s*([^\s,!=()]+)\s*(==|=|!=)\s*([^\s,!=()]*)\s*")
_EXISTS = re.compile(r"\s*(!?)\s*([^\s,!=()]+)\s*")
_EVERYWHERE = ("metadata.name", "metadata.namespace")
_FIELDS = {
    POD.plural: ("status.phase", "spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "status.podIP"),
    EVENT.plural: (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "type",
    ),
}


def selector(kind: Kind, labels: str, fields: str) -> Selects:
    """What both selectors select; an empty one selects all.

    :raises StatusError: 400, one cannot be read, or its field cannot be selected by.
    """
    wanted = [*_labels(labels), *_fields(kind, fields)]
    return lambda found: all(one(found) for one in wanted)


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
    return [_label(one) for one in re.split(r",(?![^(]*\))", text) if one.strip()]


def _label(text: str) -> Selects:
    if matched := _ONE_OF.fullmatch(text):
        key, how, listed = matched.groups()
        values = {one.strip() for one in listed.split(",")}
        return lambda found: (_of(found).get(key) in values) == (how == "in")
    if matched := _EQUAL.fullmatch(text):
        key, how, value = matched.groups()
        return lambda found: (_of(found).get(key) == value) == (how != "!=")
    if matched := _EXISTS.fullmatch(text):
        absent, key = matched.groups()
        return lambda found: (key in _of(found)) != bool(absent)
    raise bad_request(f"unable to parse requirement: {text}")


def _of(found: Object) -> dict[str, str]:
    return found["metadata"].get("labels") or {}


def _fields(kind: Kind, text: str) -> list[Selects]:
    return [_field(kind, one) for one in text.split(",") if one.strip()]


def _field(kind: Kind, text: str) -> Selects:
    matched = re.fullmatch(r"([\w.]+)(==|=|!=)(.*)", text)
    if matched is None:
        raise bad_request(f"invalid selector: '{text}'; can't understand '{text}'")
    path, how, value = matched.groups()
    if path not in (*_EVERYWHERE, *_FIELDS.get(kind.plural, ())):
        raise bad_request(
            f'Unable to find "{kind.group}/{kind.version}, Resource={kind.plural}" that match label selector "", '
            f'field selector "{text}": field label not supported: {path}'
        )
    return lambda found: (_at(found, path) == value) == (how != "!=")


def _at(found: Any, path: str) -> str:  # noqa: ANN401 - any part of an object
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return "" if found is None else str(found)
