"""What a real API server refuses of the kinds that are kept; every broken rule is told at once.

Source: Kubernetes pkg/apis/{apps,core}/validation, apimachinery pkg/api/validation.
"""

from collections.abc import Callable, Iterator

from sandbox.kube import causes
from sandbox.kube.causes import Cause
from sandbox.kube.errors import invalid
from sandbox.kube.kinds import DEPLOYMENT, NAMESPACE, POD, REPLICA_SET, SERVICE, SERVICE_ACCOUNT, Kind
from sandbox.kube.pod_validation import pod_spec
from sandbox.kube.selectors import matches
from sandbox.kube.service_validation import service
from sandbox.kube.store import Object

_STRATEGIES = ("Recreate", "RollingUpdate")
_IMMUTABLE = "field is immutable"
_POD_CHANGEABLE = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds")


def check(kind: Kind, made: Object, before: Object | None) -> None:
    """:raises StatusError: 422, with a cause for each rule that is broken."""
    wrong = [*_metadata(kind, made["metadata"]), *_CHECKS.get(kind.plural, _nothing)(made)]
    if before is not None:
        wrong += _CHANGES.get(kind.plural, _no_change)(made, before)
    if wrong:
        raise invalid(kind.name, kind.group, made["metadata"].get("name", ""), wrong)


def _metadata(kind: Kind, metadata: Object) -> Iterator[Cause]:
    name = metadata.get("name")
    if not name:
        yield causes.required("metadata.name", "name or generateName is required")
    else:
        yield from _NAMES.get(kind.plural, causes.dns_subdomain)("metadata.name", name)
    yield from causes.labels("metadata.labels", metadata.get("labels") or {})
    for key in metadata.get("annotations") or {}:
        yield from causes.label_key("metadata.annotations", key.lower())


def _deployment(made: Object) -> Iterator[Cause]:
    spec = made["spec"]
    yield from causes.not_negative("spec.replicas", spec.get("replicas"))
    yield from _selected(spec)
    yield from _strategy(spec["strategy"])
    for name in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        yield from causes.not_negative(f"spec.{name}", spec.get(name))
    deadline, ready = spec.get("progressDeadlineSeconds"), spec.get("minReadySeconds", 0)
    if deadline is not None and deadline <= ready:
        yield causes.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def _replica_set(made: Object) -> Iterator[Cause]:
    yield from causes.not_negative("spec.replicas", made["spec"].get("replicas"))
    yield from _selected(made["spec"])


def _selected(spec: Object) -> Iterator[Cause]:
    """The selector, and the template that it has to select."""
    selector, template = spec.get("selector"), spec["template"]
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector is None:
        yield causes.required("spec.selector")
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield causes.invalid("spec.selector", selector, "empty selector is invalid for deployment")
    else:
        yield from causes.labels("spec.selector.matchLabels", selector.get("matchLabels") or {})
        if not matches(selector, labels):
            yield causes.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    yield from causes.labels("spec.template.labels", labels)
    yield from pod_spec("spec.template.spec", template["spec"])
    policy = template["spec"].get("restartPolicy")
    if policy not in (None, "Always"):
        yield causes.unsupported("spec.template.spec.restartPolicy", policy, ("Always",))


def _strategy(strategy: Object) -> Iterator[Cause]:
    if strategy["type"] not in _STRATEGIES:
        yield causes.unsupported("spec.strategy.type", strategy["type"], _STRATEGIES)
    rolling = strategy.get("rollingUpdate")
    if strategy["type"] == "Recreate" and rolling is not None:
        why = "may not be specified when strategy `type` is 'Recreate'"
        yield causes.forbidden("spec.strategy.rollingUpdate", why)
    if strategy["type"] == "RollingUpdate":
        yield from _rolling(rolling or {})


def _rolling(rolling: Object) -> Iterator[Cause]:
    for name in ("maxUnavailable", "maxSurge"):
        value, field = rolling.get(name), f"spec.strategy.rollingUpdate.{name}"
        if isinstance(value, int):
            yield from causes.not_negative(field, value)
        elif value is not None and not (value.endswith("%") and value[:-1].isdecimal()):
            why = "a valid percent string must be a numeric string followed by an ending '%' "
            yield causes.invalid(field, value, f"{why}(e.g. '1%', or '93%', regex used for validation is '[0-9]+%')")
    if all(str(rolling.get(name, "25%")).strip("%") == "0" for name in ("maxUnavailable", "maxSurge")):
        why = "may not be 0 when `maxSurge` is 0"
        yield causes.invalid("spec.strategy.rollingUpdate.maxUnavailable", rolling["maxUnavailable"], why)


def _selector_change(made: Object, before: Object) -> Iterator[Cause]:
    if made["spec"].get("selector") != before["spec"].get("selector"):
        yield causes.invalid("spec.selector", made["spec"].get("selector"), _IMMUTABLE)


def _service_change(made: Object, before: Object) -> Iterator[Cause]:
    was, is_ = before["spec"].get("clusterIP"), made["spec"].get("clusterIP")
    if was and is_ != was:
        yield causes.invalid("spec.clusterIPs[0]", [is_] if is_ else None, "may not change once set")


def _pod_change(made: Object, before: Object) -> Iterator[Cause]:
    if _fixed(made["spec"]) != _fixed(before["spec"]):
        why = (
            "pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` "
            "(only additions to existing tolerations),`spec.terminationGracePeriodSeconds` "
            "(allow it to be set to 1 if it was previously negative)"
        )
        yield causes.forbidden("spec", why)


def _fixed(spec: Object) -> Object:
    """The part of a pod that never changes."""
    fixed = {name: value for name, value in spec.items() if name not in _POD_CHANGEABLE}
    for name in ("containers", "initContainers"):
        fixed[name] = [{**one, "image": ""} for one in spec.get(name) or []]
    return fixed


def _nothing(made: Object) -> Iterator[Cause]:
    del made
    yield from ()


def _no_change(made: Object, before: Object) -> Iterator[Cause]:
    del made, before
    yield from ()


_NAMES: dict[str, Callable[[str, str], Iterator[Cause]]] = {
    SERVICE.plural: causes.service_name,
    NAMESPACE.plural: causes.dns_label,
    SERVICE_ACCOUNT.plural: causes.dns_subdomain,
}
_CHECKS: dict[str, Callable[[Object], Iterator[Cause]]] = {
    DEPLOYMENT.plural: _deployment,
    REPLICA_SET.plural: _replica_set,
    POD.plural: lambda made: pod_spec("spec", made["spec"]),
    SERVICE.plural: service,
}
_CHANGES: dict[str, Callable[[Object, Object], Iterator[Cause]]] = {
    DEPLOYMENT.plural: _selector_change,
    REPLICA_SET.plural: _selector_change,
    POD.plural: _pod_change,
    SERVICE.plural: _service_change,
}
