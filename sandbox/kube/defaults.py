"""What the API server fills in where the client says nothing.

Source: Kubernetes API reference for apps/v1 and core/v1, and pkg/apis/{apps,core}/v1/defaults.go.
"""

import base64
from collections.abc import Callable

from sandbox.kube.kinds import DEPLOYMENT, NAMESPACE, POD, REPLICA_SET, SECRET, SERVICE, Kind
from sandbox.kube.store import Object

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_POD = {
    "restartPolicy": "Always",
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "terminationGracePeriodSeconds": 30,
}
_READABLE = 0o644


def fill(kind: Kind, made: Object) -> None:
    """Fill in, in place. Nothing that is there is changed."""
    if filler := _FILLERS.get(kind.plural):
        filler(made)


def _deployment(made: Object) -> None:
    spec = made.setdefault("spec", {})
    _default(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = _part(spec, "strategy")
    _default(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _default(_part(strategy, "rollingUpdate"), maxUnavailable="25%", maxSurge="25%")
    _pod_spec(_part(_part(spec, "template"), "spec"))


def _replica_set(made: Object) -> None:
    spec = made.setdefault("spec", {})
    _default(spec, replicas=1)
    _pod_spec(_part(_part(spec, "template"), "spec"))


def _pod(made: Object) -> None:
    spec = made.setdefault("spec", {})
    _pod_spec(spec)
    for container in [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]:
        if limits := container["resources"].get("limits"):
            _default(_part(container["resources"], "requests"), **limits)
    _default(spec, enableServiceLinks=True, preemptionPolicy="PreemptLowerPriority", priority=0)
    _default(spec, serviceAccountName="default")
    _default(spec, serviceAccount=spec["serviceAccountName"])
    _default(made.setdefault("status", {}), phase="Pending", qosClass="BestEffort")


def _pod_spec(spec: Object) -> None:
    _default(spec, **_POD)
    _part(spec, "securityContext")
    # The older name of the same field is kept in step, and counts only where the newer one is not given.
    if account := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]:
        _container(container)
    for volume in spec.get("volumes") or []:
        _volume(volume)


def _container(container: Object) -> None:
    _default(container, terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File")
    _default(container, imagePullPolicy=_pull_policy(container.get("image") or ""))
    _part(container, "resources")
    for port in container.get("ports") or []:
        _default(port, protocol="TCP")
    for probe in _PROBES:
        if container.get(probe) is not None:
            _default(container[probe], **_PROBE)
            _handler(container[probe])
    for one in container.get("env") or []:
        if reference := (one.get("valueFrom") or {}).get("fieldRef"):
            _default(reference, apiVersion="v1")


def _handler(probe: Object) -> None:
    if probe.get("httpGet"):
        _default(probe["httpGet"], path="/", scheme="HTTP")
    if probe.get("grpc"):
        _default(probe["grpc"], service="")


def _volume(volume: Object) -> None:
    for source in ("configMap", "secret", "projected", "downwardAPI"):
        if volume.get(source) is not None:
            _default(volume[source], defaultMode=_READABLE)
    if set(volume) == {"name"}:
        volume["emptyDir"] = {}


def _pull_policy(image: str) -> str:
    """`Always` for `latest`, said or not."""
    name = image.rsplit("/", 1)[-1]
    if "@" in name:
        return "IfNotPresent"
    return "Always" if ":" not in name or name.endswith(":latest") else "IfNotPresent"


def _service(made: Object) -> None:
    spec = made.setdefault("spec", {})
    _default(spec, type="ClusterIP", sessionAffinity="None")
    for port in spec.get("ports") or []:
        _default(port, protocol="TCP")
        if spec.get("clusterIP") != "None" or not port.get("targetPort"):
            _default(port, targetPort=port.get("port"))
    _default(spec, internalTrafficPolicy="Cluster", ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        _default(spec, externalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        _default(spec, allocateLoadBalancerNodePorts=True)


def _namespace(made: Object) -> None:
    # The label is the server's own and is always true.
    made["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = made["metadata"].get("name", "")
    _default(_part(made, "spec"), finalizers=["kubernetes"])
    _default(_part(made, "status"), phase="Active")


def _secret(made: Object) -> None:
    _default(made, type="Opaque")
    for name, text in (made.pop("stringData", None) or {}).items():
        _part(made, "data")[name] = base64.b64encode(text.encode()).decode()


def _default(part: Object, **values: object) -> None:
    for name, value in values.items():
        if part.get(name) is None and value is not None:
            part[name] = value


def _part(whole: Object, name: str) -> Object:
    if whole.get(name) is None:
        whole[name] = {}
    part: Object = whole[name]
    return part


_FILLERS: dict[str, Callable[[Object], None]] = {
    DEPLOYMENT.plural: _deployment,
    REPLICA_SET.plural: _replica_set,
    POD.plural: _pod,
    SERVICE.plural: _service,
    NAMESPACE.plural: _namespace,
    SECRET.plural: _secret,
}
