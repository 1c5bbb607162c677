"""The Kubernetes objects of a deployment, a Deployment and with a port a Service: just the fields that were asked for.

What is not in them is not owned by us under server-side apply, so an autoscaler may set it.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from service.models.workloads import MANAGER, OWN_LABEL_PREFIX, EnvSource, Probe, Security, WorkloadSpec

Object = dict[str, Any]

MANAGED_BY = "app.kubernetes.io/managed-by"
NAME = "app.kubernetes.io/name"
DEPLOYMENT_ANNOTATION = OWN_LABEL_PREFIX + "deployment"
GENERATION_ANNOTATION = OWN_LABEL_PREFIX + "generation"
_GENERATION = re.compile(r"[0-9]{1,9}")
"""As far as we count: whoever may edit the object may have written anything."""


def selector(name: str) -> dict[str, str]:
    """How the pods of a new workload are found."""
    return {NAME: name, MANAGED_BY: MANAGER}


def service_selector(name: str, match: Mapping[str, str], *, is_adopting: bool) -> dict[str, str]:
    """How a Service finds the pods of a Deployment with these match labels, which may be of before ours had two."""
    # The pods that serve until the adoption is through have not our label.
    is_own = match == {NAME: name} and not is_adopting
    return {**match, MANAGED_BY: MANAGER} if is_own else dict(match)


def is_ours(present: Object) -> bool:
    return bool((present["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER)


def deployment_of(present: Object) -> str | None:
    """The id of the deployment that an object was applied by last."""
    return _annotations(present).get(DEPLOYMENT_ANNOTATION)


def generation_of(present: Object) -> int:
    """The generation an object was applied with last; 0 for one that was never ours, or says what we never wrote."""
    text = _annotations(present).get(GENERATION_ANNOTATION, "")
    return int(text) if _GENERATION.fullmatch(text) else 0


def deployment(
    name: str, spec: WorkloadSpec, image_uri: str, annotations: Mapping[str, str], present: Object | None = None
) -> Object:
    """The Deployment. Of one that is `present`, its selector is immutable, the replicas may be ours to keep."""
    chosen = match_labels(name, present)
    pod = {**spec.labels, **selector(name), **chosen}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(name, spec, annotations),
        "spec": _given(
            replicas=_replicas(spec, present),
            progressDeadlineSeconds=int(spec.progress_deadline.total_seconds()),
            selector={"matchLabels": chosen},
            template={
                "metadata": {"labels": pod},
                "spec": _pod(name, spec, image_uri),
            },
        ),
    }


def service(name: str, spec: WorkloadSpec, annotations: Mapping[str, str], chosen: Mapping[str, str]) -> Object:
    """The Service. `chosen` are the labels of its pods."""
    port = _given(
        name="http",
        port=spec.service_port or spec.port,
        protocol="TCP",
        targetPort=spec.port,
        nodePort=spec.node_port,
    )
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(name, spec, annotations),
        "spec": {"type": spec.service_type.value, "selector": dict(chosen), "ports": [port]},
    }


def match_labels(name: str, present: Object | None) -> dict[str, str]:
    """How a Deployment finds its pods: the one that is there as it is, as a selector is immutable."""
    there = present["spec"]["selector"].get("matchLabels") if present else None
    return dict(there or selector(name))


def own_annotations(present: Object | None) -> dict[str, str]:
    """Those of ours that an object has: by which deployment it was applied last."""
    annotations = _annotations(present) if present else {}
    return {name: value for name, value in annotations.items() if name.startswith(OWN_LABEL_PREFIX)}


def image_of(present: Object, name: str) -> str | None:
    """The image of the container that is ours."""
    containers = present["spec"]["template"]["spec"]["containers"]
    return next((one.get("image") for one in containers if one["name"] == name), None)


def applied_at(present: Object) -> datetime | None:
    """When we changed it last, by the API server's clock."""
    times = [one.get("time") for one in _entries(present)]
    return max((datetime.fromisoformat(one) for one in times if one), default=None)


def _replicas(spec: WorkloadSpec, present: Object | None) -> int | None:
    """Not asked for, they are nobody's, an autoscaler's, or as we set them before: dropped, those would become one."""
    if spec.replicas is None and present is not None and any(_has_replicas(one) for one in _entries(present)):
        return int(present["spec"]["replicas"])
    return spec.replicas


def _has_replicas(entry: Object) -> bool:
    return "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})


def is_own_entry(entry: Object) -> bool:
    """Whether an entry of managedFields is of what we applied."""
    return (entry.get("manager"), entry.get("operation")) == (MANAGER, "Apply")


def _entries(present: Object) -> list[Object]:
    return [one for one in present["metadata"].get("managedFields") or [] if is_own_entry(one)]


def _metadata(name: str, spec: WorkloadSpec, annotations: Mapping[str, str]) -> Object:
    labels = {**spec.labels, **selector(name)}
    return {"name": name, "labels": labels, "annotations": dict(annotations)}


def _pod(name: str, spec: WorkloadSpec, image_uri: str) -> Object:
    security = spec.security
    is_token_needed = spec.service_account is not None or security is None
    return _given(
        # Never left out: the server keeps its deprecated alias, and would go on with the account that was named before.
        serviceAccountName=spec.service_account or "default",
        automountServiceAccountToken=None if is_token_needed else False,
        securityContext=_pod_security(security) if security else None,
        imagePullSecrets=[{"name": one} for one in spec.image_pull_secrets],
        terminationGracePeriodSeconds=spec.termination_grace_period_seconds,
        volumes=[one for one, _ in _volumes(spec)],
        containers=[_container(name, spec, image_uri)],
    )


def _volumes(spec: WorkloadSpec) -> Iterator[tuple[Object, Object]]:
    """Each volume, and its mount."""
    for number, one in enumerate(spec.volumes):
        mount = {"mountPath": one.mount_path}
        if one.config_map is not None:
            name, source = f"config-map-{number}", {"configMap": {"name": one.config_map}}
        elif one.secret is not None:
            name, source = f"secret-{number}", {"secret": {"secretName": one.secret}}
        else:
            name, source = f"empty-dir-{number}", {"emptyDir": {}}
        yield {"name": name} | source, {"name": name} | mount


def _environment(spec: WorkloadSpec) -> Iterator[Object]:
    for name, value in spec.env.items():
        yield {"name": name, "value": value}
    for name, secret in spec.secret_env.items():
        yield {"name": name, "valueFrom": {"secretKeyRef": {"name": secret.secret, "key": secret.key}}}
    for name, config in spec.config_env.items():
        yield {"name": name, "valueFrom": {"configMapKeyRef": {"name": config.config_map, "key": config.key}}}


def _env_source(source: EnvSource) -> Object:
    if source.secret is not None:
        return {"secretRef": {"name": source.secret}}
    return {"configMapRef": {"name": source.config_map}}


def _pod_security(security: Security) -> Object:
    return _given(
        seccompProfile={"type": "RuntimeDefault"},
        runAsUser=security.run_as_user,
        runAsGroup=security.run_as_group,
        fsGroup=security.fs_group,
        runAsNonRoot=security.run_as_non_root or None,
    )


def _container_security(security: Security) -> Object:
    return {
        "allowPrivilegeEscalation": security.allow_privilege_escalation,
        "capabilities": _given(drop=["ALL"], add=[one.value for one in security.capabilities]),
        "readOnlyRootFilesystem": security.read_only_root_filesystem,
    }


def _container(name: str, spec: WorkloadSpec, image_uri: str) -> Object:
    probes = spec.probes
    return _given(
        name=name,
        image=image_uri,
        command=spec.command,
        args=spec.args,
        ports=[{"name": "http", "containerPort": spec.port, "protocol": "TCP"}] if spec.port else [],
        env=list(_environment(spec)),
        envFrom=[_env_source(one) for one in spec.env_from],
        volumeMounts=[mount for _, mount in _volumes(spec)],
        securityContext=_container_security(spec.security) if spec.security else None,
        resources=spec.resources.model_dump(exclude_none=True),
        readinessProbe=_probe(probes.readiness, spec.port),
        livenessProbe=_probe(probes.liveness, spec.port),
        startupProbe=_probe(probes.startup, spec.port),
        # So that a crash tells its last words in the pod's status.
        terminationMessagePolicy="FallbackToLogsOnError",
    )


def _probe(probe: Probe | None, port: int | None) -> Object | None:
    if probe is None:
        return None
    return {
        **_handler(probe, probe.port or port),
        "initialDelaySeconds": probe.initial_delay_seconds,
        "periodSeconds": probe.period_seconds,
        "timeoutSeconds": probe.timeout_seconds,
        "failureThreshold": probe.failure_threshold,
    }


def _handler(probe: Probe, port: int | None) -> Object:
    if probe.command:
        return {"exec": {"command": probe.command}}
    if probe.tcp:
        return {"tcpSocket": {"port": port}}
    return {"httpGet": {"path": probe.path or "/healthz", "port": port}}


def _given(**fields: Any) -> Object:  # noqa: ANN401 - JSON
    """Those that have a value: an empty one would be owned like any other."""
    return {name: value for name, value in fields.items() if value not in (None, {}, [])}


def _annotations(present: Object) -> Mapping[str, str]:
    return present["metadata"].get("annotations") or {}
