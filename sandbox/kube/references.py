"""What a pod takes from Secrets and ConfigMaps of its namespace, and as whom it may run, as the kubelet looks it up.

Source: Kubernetes, pkg/kubelet/kubelet_pods.go (`makeEnvironmentVariables`) and kuberuntime/security_context.go.
"""

import base64
from collections.abc import Mapping

from sandbox.kube.kinds import CONFIG_MAP, SECRET, Kind
from sandbox.kube.store import Object, Store

_SOURCES = (("configMapRef", "configMapKeyRef", CONFIG_MAP), ("secretRef", "secretKeyRef", SECRET))


class ConfigError(Exception):
    """What a container needs before it can start is not there, or not as it has to be."""


def environment_of(store: Store, namespace: str, container: Object) -> dict[str, str]:
    """:raises ConfigError: what it names is not there."""
    variables: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        for name, _, kind in _SOURCES:
            if reference := source.get(name):
                data = _data(store, kind, namespace, reference)
                variables |= {f"{source.get('prefix') or ''}{key}": value for key, value in data.items()}
    for one in container.get("env") or ():
        if (value := _value(store, namespace, one)) is not None:
            variables[one["name"]] = value
    return variables


def check_volumes(store: Store, pod: Object) -> None:
    """:raises ConfigError: what a volume is of is not there."""
    for volume in pod["spec"].get("volumes") or ():
        for field, name, kind in (("configMap", "name", CONFIG_MAP), ("secret", "secretName", SECRET)):
            if source := volume.get(field):
                _data(store, kind, pod["metadata"]["namespace"], source | {"name": source[name]})


def check_user(pod: Object, container: Object, image_user: str) -> None:
    """:raises ConfigError: it must not run as root, and would, or may."""
    context = {**(pod["spec"].get("securityContext") or {}), **(container.get("securityContext") or {})}
    user = context.get("runAsUser", image_user.partition(":")[0] or 0)
    if not context.get("runAsNonRoot") or (str(user).isdecimal() and int(user)):
        return
    metadata = pod["metadata"]
    named = f'"{metadata["name"]}_{metadata["namespace"]}({metadata["uid"]})", container: {container["name"]}'
    why = "image will run as root"
    if not str(user).isdecimal():
        why = f"image has non-numeric user ({user}), cannot verify user is non-root"
    raise ConfigError(f"container has runAsNonRoot and {why} (pod: {named})")


def _value(store: Store, namespace: str, variable: Object) -> str | None:
    for _, name, kind in _SOURCES:
        if reference := (variable.get("valueFrom") or {}).get(name):
            data, key = _data(store, kind, namespace, reference), reference["key"]
            if key not in data and not reference.get("optional"):
                raise ConfigError(f"couldn't find key {key} in {kind.name} {namespace}/{reference['name']}")
            return data.get(key)
    return str(variable.get("value", ""))


def _data(store: Store, kind: Kind, namespace: str, reference: Object) -> Mapping[str, str]:
    source = store.find(kind, namespace, reference["name"])
    if source is None:
        if reference.get("optional"):
            return {}
        raise ConfigError(f'{kind.name.lower()} "{reference["name"]}" not found')
    data: dict[str, str] = source.get("data") or {}
    if kind is CONFIG_MAP:
        return data
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}
