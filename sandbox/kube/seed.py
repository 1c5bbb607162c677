"""What a cluster has to begin with: namespaces and nodes."""

import secrets
import sys
from pathlib import Path

from sandbox.aws.eks.shapes import INSTANCE_TYPE, NODE_GROUP
from sandbox.kube.collector import default_account
from sandbox.kube.kinds import NAMESPACE, NODE, SERVICE_ACCOUNT
from sandbox.kube.store import Object, Store, now
from sandbox.places import MAIN_REGION

VERSION = "v1.34.1-eks-sandbox"
_NAMESPACES = ("default", "kube-system", "kube-public")
_NODES = (("ip-10-0-1-11", "eu-central-1a"), ("ip-10-0-2-12", "eu-central-1b"))
_CAPACITY = {"cpu": "16", "memory": "63Gi", "ephemeral-storage": "80Gi", "pods": "234"}
_ALLOCATABLE = {"cpu": "15890m", "memory": "58Gi", "ephemeral-storage": "72Gi", "pods": "234"}


def addresses(file: Path) -> tuple[str, ...]:
    """The loopback addresses of the nodes, drawn once per file: sandboxes beside each other don't share ports."""
    if not file.exists():
        # Only Linux has all of 127.0.0.0/8 without being told.
        network = f"127.{secrets.randbelow(254) + 1}.{secrets.randbelow(255)}" if sys.platform == "linux" else None
        drawn = [f"{network}.{number}" if network else "127.0.0.1" for number, _ in enumerate(_NODES, start=1)]
        file.write_text(" ".join(drawn))
    return tuple(file.read_text().split())


def seed(store: Store, node_addresses: tuple[str, ...]) -> None:
    """Make what is not there."""
    for name in _NAMESPACES:
        if store.find(NAMESPACE, None, name) is None:
            store.create(NAMESPACE, _namespace(name))
        if store.find(SERVICE_ACCOUNT, name, "default") is None:
            store.create(SERVICE_ACCOUNT, default_account(name))
    for (name, zone), address in zip(_NODES, node_addresses, strict=True):
        made = _node(f"{name}.{MAIN_REGION}.compute.internal", zone, address)
        if store.find(NODE, None, made["metadata"]["name"]) is None:
            store.create(NODE, made)


def _namespace(name: str) -> Object:
    return {
        "apiVersion": NAMESPACE.api_version,
        "kind": NAMESPACE.name,
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def _node(name: str, zone: str, address: str) -> Object:
    return {
        "apiVersion": NODE.api_version,
        "kind": NODE.name,
        "metadata": {"name": name, "labels": _labels(name, zone)},
        "spec": {"providerID": f"aws:///{zone}/i-{secrets.token_hex(8)}0"},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "allocatable": dict(_ALLOCATABLE),
            "capacity": dict(_CAPACITY),
            "conditions": [_ready()],
            "nodeInfo": _info(),
        },
    }


def _labels(name: str, zone: str) -> dict[str, str]:
    return {
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "kubernetes.io/hostname": name,
        "node.kubernetes.io/instance-type": INSTANCE_TYPE,
        "topology.kubernetes.io/region": MAIN_REGION,
        "topology.kubernetes.io/zone": zone,
        "eks.amazonaws.com/nodegroup": NODE_GROUP,
        "eks.amazonaws.com/capacityType": "ON_DEMAND",
    }


def _ready() -> Object:
    return {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "kubelet is posting ready status",
        "lastHeartbeatTime": now(),
        "lastTransitionTime": now(),
    }


def _info() -> Object:
    return {
        "architecture": "amd64",
        "operatingSystem": "linux",
        "kubeletVersion": VERSION,
        "kubeProxyVersion": VERSION,
        "containerRuntimeVersion": "sandbox://none",
        "osImage": "The sandbox's stand-in for a node",
        "kernelVersion": "",
        "bootID": "",
        "machineID": "",
        "systemUUID": "",
    }
