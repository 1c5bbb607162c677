"""The shape of each kind, from the models published with lightkube, and what a body has that its kind has not.

How lists and maps merge is in the API's OpenAPI document (x-kubernetes-list-type, -list-map-keys, -map-type) and not in
the models; it is set down here for the kinds of `sandbox.kube.kinds`.
"""

import sys
import types
import typing
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal

import msgspec

Scalar = Literal["string", "integer", "boolean", "quantity", "int-or-string", "time", "any"]


class _Quantity(str):
    """Stands for the models' alias of `str`, which type hints do not tell from `str`."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Leaf:
    type: Scalar


@dataclass(frozen=True, slots=True)
class Mapping:
    """Free keys; an atomic one is owned as a whole."""

    value: Leaf
    is_atomic: bool


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list: a map by `keys`, a set, or (neither) owned as a whole."""

    item: "Schema"
    keys: tuple[str, ...] = ()
    is_set: bool = False


@dataclass(frozen=True, slots=True)
class Struct:
    model: type[msgspec.Struct]
    is_atomic: bool

    @property
    def fields(self) -> "dict[str, Schema]":
        return _fields(self.model)


Schema = Leaf | Mapping | Sequence | Struct


def of_model(model: type[Any]) -> Struct:
    return Struct(model, model.__name__ in _ATOMIC_STRUCTS)


@cache
def _fields(model: type[msgspec.Struct]) -> dict[str, Schema]:
    names = dict(zip(model.__struct_fields__, model.__struct_encode_fields__, strict=True))
    return {names[name]: _schema(model, names[name], hint) for name, hint in _hints(model).items() if name in names}


def _hints(model: type[msgspec.Struct]) -> dict[str, Any]:
    # Only the module's own names: a model's field may be called as a module that its hints need (`resource`).
    known = vars(sys.modules[model.__module__]) | {"resource": types.SimpleNamespace(Quantity=_Quantity)}
    return typing.get_type_hints(model, known, {})


def _schema(model: type[msgspec.Struct], name: str, hint: Any) -> Schema:  # noqa: ANN401 - a type hint
    options = [one for one in typing.get_args(hint) if one is not type(None)]
    origin = typing.get_origin(hint)
    if origin is typing.Union and len(options) == 1:
        return _schema(model, name, options[0])
    if origin is list:
        item = _schema(model, "", options[0])
        where = (model.__name__, name)
        return Sequence(item, LIST_KEYS.get(where, ()), where in _SETS)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return of_model(hint)
    if hint is dict or origin is dict:
        return _mapping(model.__name__, name)
    return Leaf("int-or-string" if origin is typing.Union else _LEAVES[hint])


def _mapping(model: str, name: str) -> Schema:
    if name == "fieldsV1":
        return Leaf("any")
    return Mapping(Leaf(_VALUES.get((model, name), "string")), (model, name) in _ATOMIC_MAPS)


_LEAVES: dict[Any, Scalar] = {
    str: "string",
    int: "integer",
    bool: "boolean",
    _Quantity: "quantity",
    datetime: "time",
}
_VALUES: dict[tuple[str, str], Scalar] = {
    ("ResourceRequirements", "limits"): "quantity",
    ("ResourceRequirements", "requests"): "quantity",
    ("VolumeResourceRequirements", "limits"): "quantity",
    ("VolumeResourceRequirements", "requests"): "quantity",
    ("PodSpec", "overhead"): "quantity",
    ("PodStatus", "allocatedResources"): "quantity",
    ("ContainerStatus", "allocatedResources"): "quantity",
    ("NodeStatus", "allocatable"): "quantity",
    ("NodeStatus", "capacity"): "quantity",
    ("ResourceQuotaSpec", "hard"): "quantity",
    ("ResourceQuotaStatus", "hard"): "quantity",
    ("ResourceQuotaStatus", "used"): "quantity",
    ("PodDisruptionBudgetStatus", "disruptedPods"): "time",
}
_ATOMIC_MAPS = {("ServiceSpec", "selector"), ("PodSpec", "nodeSelector")}
_ATOMIC_STRUCTS = {
    "ConfigMapKeySelector",
    "FileKeySelector",
    "LabelSelector",
    "LocalObjectReference",
    "NodeSelector",
    "NodeSelectorTerm",
    "ObjectFieldSelector",
    "ObjectReference",
    "OwnerReference",
    "ResourceFieldSelector",
    "ScopeSelector",
    "SecretKeySelector",
    "SecretReference",
    "TypedLocalObjectReference",
}
_SETS = {("ObjectMeta", "finalizers"), ("NodeSpec", "podCIDRs"), ("PersistentVolumeClaimSpec", "finalizers")}
_BY_NAME = (
    ("PodSpec", "containers"),
    ("PodSpec", "initContainers"),
    ("PodSpec", "ephemeralContainers"),
    ("PodSpec", "imagePullSecrets"),
    ("PodSpec", "volumes"),
    ("PodSpec", "resourceClaims"),
    ("PodSpec", "schedulingGates"),
    ("Container", "env"),
    ("EphemeralContainer", "env"),
    ("ResourceRequirements", "claims"),
    ("ServiceAccount", "secrets"),
)
_BY_TYPE = (
    ("NamespaceStatus", "conditions"),
    ("NodeStatus", "conditions"),
    ("NodeStatus", "addresses"),
    ("PodStatus", "conditions"),
    ("ServiceStatus", "conditions"),
    ("DeploymentStatus", "conditions"),
    ("ReplicaSetStatus", "conditions"),
    ("PodDisruptionBudgetStatus", "conditions"),
)
LIST_KEYS: dict[tuple[str, str], tuple[str, ...]] = {
    **dict.fromkeys(_BY_NAME, ("name",)),
    **dict.fromkeys(_BY_TYPE, ("type",)),
    ("ObjectMeta", "ownerReferences"): ("uid",),
    ("Container", "ports"): ("containerPort", "protocol"),
    ("EphemeralContainer", "ports"): ("containerPort", "protocol"),
    ("Container", "volumeMounts"): ("mountPath",),
    ("EphemeralContainer", "volumeMounts"): ("mountPath",),
    ("Container", "volumeDevices"): ("devicePath",),
    ("EphemeralContainer", "volumeDevices"): ("devicePath",),
    ("PodSpec", "hostAliases"): ("ip",),
    ("PodSpec", "topologySpreadConstraints"): ("topologyKey", "whenUnsatisfiable"),
    ("PodStatus", "podIPs"): ("ip",),
    ("ServiceSpec", "ports"): ("port", "protocol"),
}
KEY_DEFAULTS = {"protocol": "TCP"}
"""What a key of a list item is where the item leaves it out."""
