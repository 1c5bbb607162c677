"""What a real API server refuses of a pod's spec.

Source: Kubernetes pkg/apis/core/validation.
"""

from collections import Counter
from collections.abc import Iterator

from sandbox.kube import causes
from sandbox.kube.causes import Cause
from sandbox.kube.quantities import parse
from sandbox.kube.store import Object

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_SCHEMES = ("HTTP", "HTTPS")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_SECONDS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")


def pod_spec(field: str, spec: Object) -> Iterator[Cause]:
    containers = spec.get("containers") or []
    if not containers:
        yield causes.required(f"{field}.containers")
    yield from _volumes(f"{field}.volumes", spec.get("volumes") or [])
    volumes = {one.get("name") for one in spec.get("volumes") or []}
    for name in ("containers", "initContainers"):
        for index, one in enumerate(spec.get(name) or []):
            yield from _container(f"{field}.{name}[{index}]", one, volumes)
    yield from _unique(f"{field}.containers", [*containers, *(spec.get("initContainers") or [])])
    yield from _choices(field, spec)
    yield from causes.not_negative(f"{field}.terminationGracePeriodSeconds", spec.get("terminationGracePeriodSeconds"))
    yield from causes.labels(f"{field}.nodeSelector", spec.get("nodeSelector") or {})
    if account := spec.get("serviceAccountName"):
        yield from causes.dns_subdomain(f"{field}.serviceAccountName", account)


def _choices(field: str, spec: Object) -> Iterator[Cause]:
    for name, allowed in (("restartPolicy", _RESTART_POLICIES), ("dnsPolicy", _DNS_POLICIES)):
        if spec.get(name) not in (None, *allowed):
            yield causes.unsupported(f"{field}.{name}", spec[name], allowed)


def _unique(field: str, named: list[Object]) -> Iterator[Cause]:
    seen = set()
    for index, one in enumerate(named):
        if one.get("name") in seen:
            yield causes.duplicate(f"{field}[{index}].name", one["name"])
        seen.add(one.get("name"))


def _volumes(field: str, volumes: list[Object]) -> Iterator[Cause]:
    for index, one in enumerate(volumes):
        yield from _named(f"{field}[{index}].name", one.get("name"))
    yield from _unique(field, volumes)


def _named(field: str, name: str | None) -> Iterator[Cause]:
    if not name:
        yield causes.required(field)
    else:
        yield from causes.dns_label(field, name)


def _container(field: str, container: Object, volumes: set[str]) -> Iterator[Cause]:
    yield from _named(f"{field}.name", container.get("name"))
    image = container.get("image")
    if not image:
        yield causes.required(f"{field}.image")
    elif image.strip() != image:
        yield causes.invalid(f"{field}.image", image, "must not have leading or trailing whitespace")
    yield from _ports(f"{field}.ports", container.get("ports") or [])
    for index, one in enumerate(container.get("env") or []):
        yield from _variable(f"{field}.env[{index}]", one)
    yield from _mounts(f"{field}.volumeMounts", container.get("volumeMounts") or [], volumes)
    for name in _PROBES:
        if (probe := container.get(name)) is not None:
            yield from _probe(f"{field}.{name}", probe, is_readiness=name == "readinessProbe")
    if container.get("imagePullPolicy") not in (None, *_PULL_POLICIES):
        yield causes.unsupported(f"{field}.imagePullPolicy", container["imagePullPolicy"], _PULL_POLICIES)
    yield from _resources(f"{field}.resources", container.get("resources") or {})


def _ports(field: str, ports: list[Object]) -> Iterator[Cause]:
    names = Counter(one["name"] for one in ports if one.get("name"))
    for index, one in enumerate(ports):
        at = f"{field}[{index}]"
        if name := one.get("name"):
            yield from causes.port_name(f"{at}.name", name)
            if names[name] > 1:
                names[name] = 0
                yield causes.duplicate(f"{at}.name", name)
        if not one.get("containerPort"):
            yield causes.required(f"{at}.containerPort")
        else:
            yield from causes.port(f"{at}.containerPort", one["containerPort"])
        if one.get("hostPort"):
            yield from causes.port(f"{at}.hostPort", one["hostPort"])
        if one.get("protocol") not in (None, *_PROTOCOLS):
            yield causes.unsupported(f"{at}.protocol", one["protocol"], _PROTOCOLS)


def _variable(field: str, variable: Object) -> Iterator[Cause]:
    yield from causes.env_name(f"{field}.name", variable.get("name") or "")
    source = variable.get("valueFrom")
    if source is None:
        return
    if variable.get("value"):
        yield causes.invalid(f"{field}.valueFrom", "", "may not be specified when `value` is not empty")
    if len(source) != 1:
        why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        yield causes.invalid(
            f"{field}.valueFrom", "", why if not source else "may not have more than one field specified at a time"
        )


def _mounts(field: str, mounts: list[Object], volumes: set[str]) -> Iterator[Cause]:
    seen = set()
    for index, one in enumerate(mounts):
        at = f"{field}[{index}]"
        if not one.get("name"):
            yield causes.required(f"{at}.name")
        elif one["name"] not in volumes:
            yield {"reason": "FieldValueNotFound", "message": f'Not found: "{one["name"]}"', "field": f"{at}.name"}
        if not one.get("mountPath"):
            yield causes.required(f"{at}.mountPath")
        elif one["mountPath"] in seen:
            yield causes.invalid(f"{at}.mountPath", one["mountPath"], "must be unique")
        seen.add(one.get("mountPath"))


def _probe(field: str, probe: Object, *, is_readiness: bool) -> Iterator[Cause]:
    handlers = [name for name in _HANDLERS if probe.get(name) is not None]
    if not handlers:
        yield causes.required(field, "must specify a handler type")
    for extra in handlers[1:]:
        yield causes.forbidden(f"{field}.{extra}", "may not specify more than 1 handler type")
    for name in handlers[:1]:
        yield from _handler(f"{field}.{name}", name, probe[name])
    for name in _SECONDS:
        yield from causes.not_negative(f"{field}.{name}", probe.get(name))
    if not is_readiness and probe.get("successThreshold", 1) != 1:
        yield causes.invalid(f"{field}.successThreshold", probe["successThreshold"], "must be 1")


def _handler(field: str, name: str, handler: Object) -> Iterator[Cause]:
    if name == "exec":
        if not handler.get("command"):
            yield causes.required(f"{field}.command")
        return
    port = handler.get("port")
    if port is None:
        yield causes.required(f"{field}.port")
    elif isinstance(port, int):
        yield from causes.port(f"{field}.port", port)
    else:
        yield from causes.port_name(f"{field}.port", port)
    if name == "httpGet" and handler.get("scheme") not in (None, *_SCHEMES):
        yield causes.unsupported(f"{field}.scheme", handler["scheme"], _SCHEMES)


def _resources(field: str, resources: Object) -> Iterator[Cause]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for part, stated in (("limits", limits), ("requests", requests)):
        for name, amount in stated.items():
            if parse(amount) < 0:
                yield causes.invalid(f"{field}.{part}[{name}]", amount, "must be greater than or equal to 0")
    for name, amount in requests.items():
        if name in limits and parse(amount) > parse(limits[name]):
            why = f"must be less than or equal to {name} limit of {limits[name]}"
            yield causes.invalid(f"{field}.requests", amount, why)
