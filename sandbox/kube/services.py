"""Addresses and node ports of services.

Source: Kubernetes documentation, "Service"; pkg/registry/core/service/{ipallocator,portallocator}.
"""

import ipaddress
import itertools
from collections.abc import Iterator

from sandbox.kube import causes
from sandbox.kube.errors import invalid
from sandbox.kube.kinds import SERVICE
from sandbox.kube.store import Object, Store

NODE_PORTS = range(30000, 32768)
_ADDRESSES = ipaddress.ip_network("10.96.0.0/12")
_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")
_OF_TYPES = {
    "externalTrafficPolicy": _WITH_NODE_PORTS,
    "allocateLoadBalancerNodePorts": ("LoadBalancer",),
}
"""Fields that only some types have. Source: dropTypeDependentFields in pkg/registry/core/service/strategy.go."""
_SKIPPED = 10
"""The first addresses are left to the cluster itself: `kubernetes` and its DNS."""


def allocate(store: Store, made: Object, before: Object | None) -> None:
    """Give a service its address and node ports, in place; what it had before it keeps.

    :raises StatusError: 422, a node port it asks for is out of range or taken.
    """
    spec = made["spec"]
    others = [
        one for one in store.all(SERVICE) if before is None or one["metadata"]["uid"] != before["metadata"]["uid"]
    ]
    _address(spec, others)
    if spec["type"] in _WITH_NODE_PORTS:
        _node_ports(made, others)


def keep(made: Object, before: Object) -> None:
    """What an update says nothing about stays allocated, in place."""
    was, is_ = before["spec"], made["spec"]
    _drop(was, is_)
    for name in ("clusterIP", "clusterIPs"):
        if name in was and not is_.get(name):
            is_[name] = was[name]
    if is_.get("type") not in _WITH_NODE_PORTS:
        return
    had = {(one["port"], one.get("protocol")): one.get("nodePort") for one in was.get("ports") or []}
    for one in is_.get("ports") or []:
        if not one.get("nodePort") and (node_port := had.get((one.get("port"), one.get("protocol", "TCP")))):
            one["nodePort"] = node_port


def _drop(was: Object, is_: Object) -> None:
    """What only the former type has goes with it, unless the update sets it anew."""
    for name, types in _OF_TYPES.items():
        if was.get("type") in types and is_.get("type") not in types and is_.get(name) == was.get(name):
            is_.pop(name, None)
    if was.get("type") not in _WITH_NODE_PORTS or is_.get("type") in _WITH_NODE_PORTS:
        return
    had = {one.get("nodePort") for one in was.get("ports") or []}
    for one in is_.get("ports") or []:
        if one.get("nodePort") in had:
            del one["nodePort"]


def _address(spec: Object, others: list[Object]) -> None:
    if not spec.get("clusterIP"):
        taken = {one["spec"].get("clusterIP") for one in others}
        free = (str(one) for one in itertools.islice(_ADDRESSES.hosts(), _SKIPPED, None))
        spec["clusterIP"] = next(one for one in free if one not in taken)
    spec["clusterIPs"] = [spec["clusterIP"]]


def _node_ports(made: Object, others: list[Object]) -> None:
    taken = set(_used(others))
    wrong = []
    for index, port in enumerate(made["spec"].get("ports") or []):
        asked = port.get("nodePort")
        field = f"spec.ports[{index}].nodePort"
        if asked and asked not in NODE_PORTS:
            wrong.append(causes.invalid(field, asked, _OUT_OF_RANGE))
        elif asked and (asked, port["protocol"]) in taken:
            wrong.append(causes.invalid(field, asked, "provided port is already allocated"))
        else:
            port["nodePort"] = asked or _free(made, taken)
        taken.add((port.get("nodePort") or 0, port["protocol"]))
    if wrong:
        raise invalid(SERVICE.name, SERVICE.group, made["metadata"].get("name", ""), wrong)


def _used(services: list[Object]) -> Iterator[tuple[int, str]]:
    for one in services:
        for port in one["spec"].get("ports") or []:
            if port.get("nodePort"):
                yield port["nodePort"], port.get("protocol", "TCP")


def _free(made: Object, taken: set[tuple[int, str]]) -> int:
    used = {number for number, _ in taken} | {one.get("nodePort") for one in made["spec"]["ports"]}
    return next(number for number in NODE_PORTS if number not in used)


_OUT_OF_RANGE = "provided port is not in the valid range. The range of valid ports is 30000-32767"
