"""What has become of a rollout, judged from the objects alone. Pure functions.

Complete and failed are as `kubectl rollout status` has them; reasons are in the pod's or the API server's own words.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from service.deployments.workloads import applied_at
from service.models.deployments import Progress, Reason

Object = Mapping[str, Any]

_REVISION = "deployment.kubernetes.io/revision"
_PULLING = ("ErrImagePull", "ImagePullBackOff")
_HOPELESS_PULL = re.compile(
    r"not found|no match for platform|denied|unauthorized|forbidden|manifest unknown|invalid reference", re.IGNORECASE
)
_QUOTA = re.compile(r"exceeded quota|failed quota")
"""Too much was asked for, or a quota wants said how much is."""
_SAYS_NO_MORE = "the pod does not say why; often something that it mounts is not there"
_MISCONFIGURED = ("InvalidImageName", "CreateContainerConfigError", "RunContainerError")


def progress_of(deployment: Object) -> Progress:
    status = deployment.get("status") or {}
    return Progress(
        desired=_desired(deployment),
        updated=status.get("updatedReplicas", 0),
        ready=status.get("readyReplicas", 0),
        available=status.get("availableReplicas", 0),
        total=status.get("replicas", 0),
    )


def is_observed(deployment: Object) -> bool:
    """Whether the controller has seen the present spec: until then, its status speaks of the one before."""
    return bool((deployment.get("status") or {}).get("observedGeneration", 0) >= deployment["metadata"]["generation"])


def is_complete(deployment: Object) -> bool:
    now = progress_of(deployment)
    return is_observed(deployment) and now.updated == now.desired and now.total == now.updated == now.available


def is_out_of_time(deployment: Object) -> bool:
    """Whether the controller has given it up since we applied it: what it said of the rollout before stays there."""
    progressing = _condition(deployment, "Progressing")
    if not is_observed(deployment) or progressing.get("reason") != "ProgressDeadlineExceeded":
        return False
    applied, reported = applied_at(dict(deployment)), progressing.get("lastUpdateTime")
    # Times are in whole seconds, and so is the shortest deadline: what was said of our own rollout is later.
    return applied is None or not reported or datetime.fromisoformat(reported) > applied


def newest(deployment: Object, replica_sets: Sequence[Object], pods: Sequence[Object]) -> list[Object]:
    """The pods of the present template: by who owns them, as others may carry the same labels."""
    revision = (deployment["metadata"].get("annotations") or {}).get(_REVISION)
    sets = {
        one["metadata"]["uid"]
        for one in replica_sets
        if _owner(one) == deployment["metadata"]["uid"]
        and (one["metadata"].get("annotations") or {}).get(_REVISION) == revision
    }
    return [one for one in pods if _owner(one) in sets]


def _owner(resource: Object) -> str | None:
    """The uid of the controller that made it."""
    owners = resource["metadata"].get("ownerReferences") or ()
    return next((one["uid"] for one in owners if one.get("controller")), None)


def hopeless(pods: Sequence[Object]) -> Reason | None:
    """Why waiting longer will not help: an image that is not there, a container that ends again and again."""
    for pod, container in _containers(pods):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason, message = waiting.get("reason", ""), waiting.get("message") or ""
        if reason in _PULLING and _HOPELESS_PULL.search(message):
            return _reason("image_pull_failed", message, pod, container)
        if reason == "CrashLoopBackOff":
            return _reason("crash_loop", _last_words(container) or message, pod, container)
        if reason in _MISCONFIGURED:
            return _reason("container_config_invalid", f"{reason}: {message}", pod, container)
    return None


def why_stalled(deployment: Object, pods: Sequence[Object]) -> Reason:
    """The best that can be said of a rollout that makes no progress."""
    return (
        hopeless(pods) or _refused(deployment) or _unschedulable(pods) or _not_ready(pods) or _by_condition(deployment)
    )


def host_ips(pods: Sequence[Object]) -> list[str]:
    """The hosts of the ready pods, each once."""
    ready = [one for one in pods if _condition(one, "Ready").get("status") == "True"]
    return sorted({str(one["status"]["hostIP"]) for one in ready if one["status"].get("hostIP")})


def _refused(deployment: Object) -> Reason | None:
    failure = _condition(deployment, "ReplicaFailure")
    if failure.get("status") != "True":
        return None
    message = failure.get("message", "")
    return Reason(code="quota_exceeded" if _QUOTA.search(message) else "admission_refused", message=message)


def _unschedulable(pods: Sequence[Object]) -> Reason | None:
    for pod in pods:
        scheduled = _condition(pod, "PodScheduled")
        if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
            return Reason(code="unschedulable", message=scheduled.get("message", ""), pod=pod["metadata"]["name"])
    return None


def _not_ready(pods: Sequence[Object]) -> Reason | None:
    for pod, container in _containers(pods):
        waiting = (container.get("state") or {}).get("waiting")
        if waiting:
            message = f"{waiting.get('reason')}: {waiting.get('message') or _SAYS_NO_MORE}"
            code = "image_pull_failed" if waiting.get("reason") in _PULLING else "container_not_started"
            return _reason(code, message, pod, container)
        if not container.get("ready"):
            return _reason("not_ready", "The container runs and its readiness probe does not pass.", pod, container)
    return None


def _by_condition(deployment: Object) -> Reason:
    message = _condition(deployment, "Progressing").get("message") or "The rollout made no progress."
    return Reason(code="progress_deadline_exceeded", message=message)


def _reason(code: str, message: str, pod: Object, container: Object) -> Reason:
    return Reason(code=code, message=message, pod=pod["metadata"]["name"], container=container["name"])


def _last_words(container: Object) -> str | None:
    for state in (container.get("lastState"), container.get("state")):
        ended = (state or {}).get("terminated")
        if ended:
            message = str(ended.get("message") or "").strip()
            return f"exit code {ended.get('exitCode')}" + (f": {message}" if message else "")
    return None


def _containers(pods: Sequence[Object]) -> Iterator[tuple[Object, Object]]:
    for pod in pods:
        for container in (pod.get("status") or {}).get("containerStatuses") or ():
            yield pod, container


def _condition(resource: Object, kind: str) -> Object:
    conditions = (resource.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == kind), {})


def _desired(deployment: Object) -> int:
    return int(deployment["spec"].get("replicas", 1))
