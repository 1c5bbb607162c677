"""Objects as the rows that `kubectl get` prints.

Source: Kubernetes API conventions, "Receiving resources as Tables"; columns of pkg/printers/internalversion.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sandbox.clock import CLOCK
from sandbox.kube.kinds import DEPLOYMENT, NAMESPACE, NODE, POD, REPLICA_SET, SERVICE, Kind
from sandbox.kube.store import Object

_Column = tuple[str, str, Callable[[Object], Any]]
_UNITS = (("d", 86400), ("h", 3600), ("m", 60))


def table(kind: Kind, live: list[Object], metadata: Object) -> Object:
    columns = _COLUMNS.get(kind.plural, _PLAIN)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata or {"resourceVersion": live[0]["metadata"]["resourceVersion"]},
        "columnDefinitions": [_definition(name, type_) for name, type_, _ in columns],
        "rows": [_row(columns, one) for one in live],
    }


def _definition(name: str, type_: str) -> Object:
    is_name = name == "Name"
    return {"name": name, "type": type_, "format": "name" if is_name else "", "description": "", "priority": 0}


def _row(columns: tuple[_Column, ...], live: Object) -> Object:
    part = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": live["metadata"]}
    return {"cells": [value(live) for _, _, value in columns], "object": part}


def _name(live: Object) -> str:
    name: str = live["metadata"]["name"]
    return name


def _age(live: Object) -> str:
    """One unit where it is large, as a terse form of what kubectl prints."""
    since = datetime.fromisoformat(live["metadata"]["creationTimestamp"])
    seconds = int((CLOCK.now() - since).total_seconds())
    for unit, size in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{max(seconds, 0)}s"


def _status(live: Object) -> Object:
    status: Object = live.get("status") or {}
    return status


def _number(name: str) -> Callable[[Object], int]:
    return lambda live: _status(live).get(name) or 0


def _containers(live: Object) -> list[Object]:
    statuses: list[Object] = _status(live).get("containerStatuses") or []
    return statuses


def _pod_ready(live: Object) -> str:
    ready = sum(1 for one in _containers(live) if one.get("ready"))
    return f"{ready}/{len(live['spec']['containers'])}"


def _pod_status(live: Object) -> str:
    if live["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for one in _containers(live):
        state = one.get("state") or {}
        for part in ("waiting", "terminated"):
            if reason := (state.get(part) or {}).get("reason"):
                return str(reason)
    return str(_status(live).get("reason") or _status(live).get("phase") or "Pending")


def _restarts(live: Object) -> str:
    return str(sum(one.get("restartCount", 0) for one in _containers(live)))


def _ports(live: Object) -> str:
    shown = [
        f"{one['port']}{':' + str(one['nodePort']) if one.get('nodePort') else ''}/{one.get('protocol', 'TCP')}"
        for one in live["spec"].get("ports") or []
    ]
    return ",".join(shown) or "<none>"


def _external(live: Object) -> str:
    ingress = (_status(live).get("loadBalancer") or {}).get("ingress") or []
    shown = ",".join(one.get("ip") or one.get("hostname", "") for one in ingress)
    return shown or ("<pending>" if live["spec"].get("type") == "LoadBalancer" else "<none>")


def _node_status(live: Object) -> str:
    conditions = _status(live).get("conditions") or []
    ready = next((one["status"] for one in conditions if one["type"] == "Ready"), "Unknown")
    shown = "Ready" if ready == "True" else "NotReady"
    return f"{shown},SchedulingDisabled" if (live.get("spec") or {}).get("unschedulable") else shown


def _deployment_ready(live: Object) -> str:
    return f"{_status(live).get('readyReplicas', 0)}/{live['spec'].get('replicas', 1)}"


_FIRST: _Column = ("Name", "string", _name)
_LAST: _Column = ("Age", "string", _age)
_PLAIN: tuple[_Column, ...] = (_FIRST, _LAST)
_COLUMNS: dict[str, tuple[_Column, ...]] = {
    DEPLOYMENT.plural: (
        _FIRST,
        ("Ready", "string", _deployment_ready),
        ("Up-to-date", "integer", _number("updatedReplicas")),
        ("Available", "integer", _number("availableReplicas")),
        _LAST,
    ),
    REPLICA_SET.plural: (
        _FIRST,
        ("Desired", "integer", lambda live: live["spec"].get("replicas", 1)),
        ("Current", "integer", _number("replicas")),
        ("Ready", "integer", _number("readyReplicas")),
        _LAST,
    ),
    POD.plural: (
        _FIRST,
        ("Ready", "string", _pod_ready),
        ("Status", "string", _pod_status),
        ("Restarts", "string", _restarts),
        _LAST,
    ),
    SERVICE.plural: (
        _FIRST,
        ("Type", "string", lambda live: live["spec"].get("type", "ClusterIP")),
        ("Cluster-IP", "string", lambda live: live["spec"].get("clusterIP") or "<none>"),
        ("External-IP", "string", _external),
        ("Port(s)", "string", _ports),
        _LAST,
    ),
    NODE.plural: (
        _FIRST,
        ("Status", "string", _node_status),
        ("Roles", "string", lambda _: "<none>"),
        _LAST,
        ("Version", "string", lambda live: (_status(live).get("nodeInfo") or {}).get("kubeletVersion", "")),
    ),
    NAMESPACE.plural: (
        _FIRST,
        ("Status", "string", lambda live: _status(live).get("phase", "Active")),
        _LAST,
    ),
}
