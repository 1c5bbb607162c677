"""Conditions in an object's status."""

from collections.abc import Iterable
from datetime import datetime

from sandbox.clock import CLOCK
from sandbox.kube.store import Object, now


def condition(status: Object, kind: str) -> Object | None:
    return next((one for one in status.get("conditions") or () if one["type"] == kind), None)


def put_condition(status: Object, made: Object) -> None:
    """Set the condition of a type; its transition time is the old one's where its status stays the same."""
    before = condition(status, made["type"])
    if before is not None and before["status"] == made["status"]:
        made = made | {"lastTransitionTime": before["lastTransitionTime"]}
    others = [one for one in status.get("conditions") or () if one["type"] != made["type"]]
    status["conditions"] = [*others, {"lastTransitionTime": now()} | made]


def drop_condition(status: Object, kind: str) -> None:
    status["conditions"] = [one for one in status.get("conditions") or () if one["type"] != kind]


def is_true(conditions: Iterable[Object] | None, kind: str) -> bool:
    return any(one["type"] == kind and one["status"] == "True" for one in conditions or ())


def seconds_since(timestamp: str) -> float:
    """Since a time as Kubernetes writes it."""
    return (CLOCK.now() - datetime.fromisoformat(timestamp)).total_seconds()
