"""What a pod takes from Secrets and ConfigMaps of its namespace, as the kubelet looks it up.

Source: Kubernetes, pkg/kubelet/kubelet_pods.go (`makeEnvironmentVariables`) and its words.
"""

import base64
from collections.abc import Mapping

from sandbox.kube.kinds import CONFIG_MAP, SECRET, Kind
from sandbox.kube.store import Object, Store

_SOURCES = (("configMapRef", "configMapKeyRef", CONFIG_MAP), ("secretRef", "secretKeyRef", SECRET))


class MissingError(Exception):
    """A pod names a Secret or a ConfigMap that is not there, or a key that it has not."""


def environment_of(store: Store, namespace: str, container: Object) -> dict[str, str]:
    """:raises MissingError: what it names is not there."""
    found: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        for name, _, kind in _SOURCES:
            if reference := source.get(name):
                data = _data(store, kind, namespace, reference)
                found |= {f"{source.get('prefix') or ''}{key}": value for key, value in data.items()}
    for one in container.get("env") or ():
        if (value := _value(store, namespace, one)) is not None:
            found[one["name"]] = value
    return found


def check_volumes(store: Store, pod: Object) -> None:
    """:raises MissingError: what a volume is of is not there."""
    for volume in pod["spec"].get("volumes") or ():
        for field, name, kind in (("configMap", "name", CONFIG_MAP), ("secret", "secretName", SECRET)):
            if source := volume.get(field):
                _data(store, kind, pod["metadata"]["namespace"], source | {"name": source[name]})


def _value(store: Store, namespace: str, variable: Object) -> str | None:
    for _, name, kind in _SOURCES:
        if reference := (variable.get("valueFrom") or {}).get(name):
            data, key = _data(store, kind, namespace, reference), reference["key"]
            if key not in data and not reference.get("optional"):
                raise MissingError(f"couldn't find key {key} in {kind.name} {namespace}/{reference['name']}")
            return data.get(key)
    return str(variable.get("value", ""))


def _data(store: Store, kind: Kind, namespace: str, reference: Object) -> Mapping[str, str]:
    found = store.find(kind, namespace, reference["name"])
    if found is None:
        if reference.get("optional"):
            return {}
        raise MissingError(f'{kind.name.lower()} "{reference["name"]}" not found')
    data: dict[str, str] = found.get("data") or {}
    if kind is CONFIG_MAP:
        return data
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}
