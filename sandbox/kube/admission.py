"""What the API server asks of a pod before it lets it in: its service account, pod security, quotas.

Source: Kubernetes, plugin/pkg/admission/{serviceaccount,resourcequota}; for pod security see `pod_security`.
"""

from collections.abc import Iterable
from decimal import Decimal

from sandbox.kube.errors import StatusError
from sandbox.kube.kinds import NAMESPACE, POD, RESOURCE_QUOTA, SERVICE_ACCOUNT
from sandbox.kube.pod_security import violations
from sandbox.kube.quantities import parse, to_text, total
from sandbox.kube.store import Object, Store

_FINISHED = ("Succeeded", "Failed")
_LEVEL = "pod-security.kubernetes.io/enforce"
_VERSION = "pod-security.kubernetes.io/enforce-version"
_COUNTS = ("pods", "count/pods")
_AMOUNTS = {
    "cpu": ("requests", "cpu"),
    "memory": ("requests", "memory"),
    **{f"{which}.{name}": (which, name) for which in ("requests", "limits") for name in ("cpu", "memory")},
}
"""What a quota calls an amount: which statement of the containers it sums up, of which resource."""


def admit(store: Store, pod: Object) -> None:
    """Let a new pod pass.

    :raises StatusError: 403 Forbidden, in the API server's words.
    """
    _check_account(store, pod)
    _check_security(store, pod)
    for quota in store.all(RESOURCE_QUOTA, pod["metadata"]["namespace"]):
        _check_quota(store, pod, quota)


def _check_account(store: Store, pod: Object) -> None:
    namespace = pod["metadata"]["namespace"]
    name = pod["spec"].get("serviceAccountName") or "default"
    if store.find(SERVICE_ACCOUNT, namespace, name) is None:
        text = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
        raise _forbidden(pod, text)


def _check_security(store: Store, pod: Object) -> None:
    namespace = store.find(NAMESPACE, None, pod["metadata"]["namespace"])
    labels = (namespace["metadata"].get("labels") if namespace else None) or {}
    level = labels.get(_LEVEL, "privileged")
    if broken := violations(pod["spec"], level):
        raise _forbidden(pod, f'violates PodSecurity "{level}:{labels.get(_VERSION, "latest")}": {", ".join(broken)}')


def _check_quota(store: Store, pod: Object, quota: Object) -> None:
    name, limited = quota["metadata"]["name"], _limited(quota)
    if unstated := [one for one in limited if one not in _COUNTS and not _states(pod, one)]:
        named = "; ".join(f"{one} for: {','.join(_silent(pod, one))}" for one in unstated)
        raise _forbidden(pod, f"failed quota: {name}: must specify {named}")
    pods = [
        one
        for one in store.all(POD, pod["metadata"]["namespace"])
        if one.get("status", {}).get("phase") not in _FINISHED
    ]
    asked = {one: _amount(one, [pod]) for one in limited}
    present = {one: _amount(one, pods) for one in limited}
    over = [one for one in limited if present[one] + asked[one] > parse(limited[one])]
    if over:
        parts = (
            ("requested", {one: to_text(asked[one]) for one in over}),
            ("used", {one: to_text(present[one]) for one in over}),
            ("limited", {one: str(limited[one]) for one in over}),
        )
        text = ", ".join(f"{word}: {','.join(f'{one}={amount}' for one, amount in by.items())}" for word, by in parts)
        raise _forbidden(pod, f"exceeded quota: {name}, {text}")


def _limited(quota: Object) -> dict[str, str]:
    """The limits of a quota that are about pods."""
    hard = quota["spec"].get("hard") or {}
    return {name: hard[name] for name in sorted(hard) if name in _COUNTS or name in _AMOUNTS}


def _amount(name: str, pods: list[Object]) -> Decimal:
    if name in _COUNTS:
        return Decimal(len(pods))
    which, resource = _AMOUNTS[name]
    return total(pods, resource, which)


def _states(pod: Object, name: str) -> bool:
    return not list(_silent(pod, name))


def _silent(pod: Object, name: str) -> Iterable[str]:
    """The containers that leave open how much they take."""
    which, resource = _AMOUNTS[name]
    for one in pod["spec"]["containers"]:
        resources = one.get("resources") or {}
        stated = {**(resources.get("limits") or {}), **(resources.get(which) or {})}
        if resource not in (stated if which == "requests" else resources.get("limits") or {}):
            yield one["name"]


def _forbidden(pod: Object, why: str) -> StatusError:
    name = pod["metadata"].get("name") or pod["metadata"].get("generateName", "")
    details = {"name": name, "kind": "pods"}
    return StatusError(403, "Forbidden", f'pods "{name}" is forbidden: {why}', details=details)
