"""The kinds that the sandbox's cluster knows; their fields are those of the models published with lightkube."""

from dataclasses import dataclass
from typing import Any

from lightkube.models import apps_v1, authorization_v1, core_v1, networking_v1, policy_v1


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource of the Kubernetes API: its names, where it lives and the type of its body."""

    group: str
    version: str
    name: str
    plural: str
    model: type[Any]
    is_namespaced: bool = True
    has_status: bool = False
    short_names: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        return self.name.lower()


NAMESPACE = Kind(
    "", "v1", "Namespace", "namespaces", core_v1.Namespace, is_namespaced=False, has_status=True, short_names=("ns",)
)
NODE = Kind("", "v1", "Node", "nodes", core_v1.Node, is_namespaced=False, has_status=True, short_names=("no",))
POD = Kind("", "v1", "Pod", "pods", core_v1.Pod, has_status=True, short_names=("po",))
SERVICE = Kind("", "v1", "Service", "services", core_v1.Service, has_status=True, short_names=("svc",))
SERVICE_ACCOUNT = Kind("", "v1", "ServiceAccount", "serviceaccounts", core_v1.ServiceAccount, short_names=("sa",))
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps", core_v1.ConfigMap, short_names=("cm",))
SECRET = Kind("", "v1", "Secret", "secrets", core_v1.Secret)
RESOURCE_QUOTA = Kind(
    "", "v1", "ResourceQuota", "resourcequotas", core_v1.ResourceQuota, has_status=True, short_names=("quota",)
)
DEPLOYMENT = Kind(
    "apps", "v1", "Deployment", "deployments", apps_v1.Deployment, has_status=True, short_names=("deploy",)
)
REPLICA_SET = Kind("apps", "v1", "ReplicaSet", "replicasets", apps_v1.ReplicaSet, has_status=True, short_names=("rs",))
DISRUPTION_BUDGET = Kind(
    "policy",
    "v1",
    "PodDisruptionBudget",
    "poddisruptionbudgets",
    policy_v1.PodDisruptionBudget,
    has_status=True,
    short_names=("pdb",),
)
NETWORK_POLICY = Kind(
    "networking.k8s.io",
    "v1",
    "NetworkPolicy",
    "networkpolicies",
    networking_v1.NetworkPolicy,
    short_names=("netpol",),
)
ACCESS_REVIEW = Kind(
    "authorization.k8s.io",
    "v1",
    "SelfSubjectAccessReview",
    "selfsubjectaccessreviews",
    authorization_v1.SelfSubjectAccessReview,
    is_namespaced=False,
)

STORED = (
    NAMESPACE,
    NODE,
    POD,
    SERVICE,
    SERVICE_ACCOUNT,
    CONFIG_MAP,
    SECRET,
    RESOURCE_QUOTA,
    DEPLOYMENT,
    REPLICA_SET,
    DISRUPTION_BUDGET,
    NETWORK_POLICY,
)
"""Those that are kept; an access review is only answered."""
