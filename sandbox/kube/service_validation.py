"""What a real API server refuses of a service.

Source: Kubernetes pkg/apis/core/validation.
"""

from collections.abc import Iterator

from sandbox.kube import causes
from sandbox.kube.causes import Cause
from sandbox.kube.store import Object

_TYPES = ("ClusterIP", "LoadBalancer", "NodePort")
_AFFINITIES = ("ClientIP", "None")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_TRAFFIC = ("Cluster", "Local")


def service(made: Object) -> Iterator[Cause]:
    spec = made["spec"]
    ports = spec.get("ports") or []
    if spec["type"] not in _TYPES:
        yield causes.unsupported("spec.type", spec["type"], _TYPES)
    if not ports and spec.get("clusterIP") != "None":
        yield causes.required("spec.ports")
    yield from causes.labels("spec.selector", spec.get("selector") or {})
    yield from _ports(spec, ports)
    if spec.get("sessionAffinity") not in (None, *_AFFINITIES):
        yield causes.unsupported("spec.sessionAffinity", spec["sessionAffinity"], _AFFINITIES)
    for name in ("externalTrafficPolicy", "internalTrafficPolicy"):
        if spec.get(name) not in (None, *_TRAFFIC):
            yield causes.unsupported(f"spec.{name}", spec[name], _TRAFFIC)


def _ports(spec: Object, ports: list[Object]) -> Iterator[Cause]:
    names: set[str] = set()
    seen: set[tuple[int, str]] = set()
    for index, one in enumerate(ports):
        field = f"spec.ports[{index}]"
        yield from _name(field, one.get("name") or "", names, is_needed=len(ports) > 1)
        yield from _numbers(field, one)
        if one.get("protocol") not in _PROTOCOLS:
            yield causes.unsupported(f"{field}.protocol", one.get("protocol"), _PROTOCOLS)
        if one.get("nodePort") and spec["type"] == "ClusterIP":
            yield causes.forbidden(f"{field}.nodePort", "may not be used when `type` is 'ClusterIP'")
        if (key := (one.get("port") or 0, one.get("protocol") or "")) in seen:
            yield causes.duplicate(field, {"port": key[0], "protocol": key[1]})
        seen.add(key)


def _name(field: str, name: str, names: set[str], *, is_needed: bool) -> Iterator[Cause]:
    if not name:
        if is_needed:
            yield causes.required(f"{field}.name")
        return
    yield from causes.dns_label(f"{field}.name", name)
    if name in names:
        yield causes.duplicate(f"{field}.name", name)
    names.add(name)


def _numbers(field: str, one: Object) -> Iterator[Cause]:
    yield from causes.port(f"{field}.port", one.get("port") or 0)
    target = one.get("targetPort")
    if isinstance(target, int):
        yield from causes.port(f"{field}.targetPort", target)
    elif target:
        yield from causes.port_name(f"{field}.targetPort", target)
