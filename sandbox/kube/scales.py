"""The `/scale` of deployments.

Source: Kubernetes API reference, Scale autoscaling/v1.
"""

import copy

from starlette.requests import Request

from sandbox.kube import bodies
from sandbox.kube.errors import bad_request, invalid
from sandbox.kube.kinds import Kind
from sandbox.kube.store import Object

_SHOWN = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def of(live: Object) -> Object:
    selector = (live["spec"].get("selector") or {}).get("matchLabels") or {}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: live["metadata"][name] for name in _SHOWN if name in live["metadata"]},
        "spec": {"replicas": live["spec"].get("replicas", 1)},
        "status": {
            "replicas": (live.get("status") or {}).get("replicas", 0),
            "selector": ",".join(f"{key}={value}" for key, value in sorted(selector.items())),
        },
    }


async def changed(request: Request, kind: Kind, before: Object) -> Object:
    """The object with the replicas that a Scale, or a patch of one, asks for.

    :raises StatusError: 400, 422, it asks for no number of replicas; 409, it is of another version.
    """
    present = of(before)
    sent = await bodies.patched(request, kind, present)
    sent["metadata"] = {**present["metadata"], **(sent.get("metadata") or {})}
    bodies.check_precondition(kind, before, sent)
    replicas = (sent.get("spec") or {}).get("replicas", 0)
    if isinstance(replicas, bool) or not isinstance(replicas, int):
        raise bad_request('Scale in version "v1" cannot be handled as a Scale: spec.replicas is not an integer')
    if replicas < 0:
        cause = {
            "reason": "FieldValueInvalid",
            "message": f"Invalid value: {replicas}: must be greater than or equal to 0",
            "field": "spec.replicas",
        }
        raise invalid("Scale", "autoscaling", before["metadata"]["name"], [cause])
    made = copy.deepcopy(before)
    made["spec"]["replicas"] = replicas
    return made
