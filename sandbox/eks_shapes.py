"""The cluster and its node group, as EKS describes them."""

from dataclasses import dataclass
from typing import Any

from sandbox.identities import NODE_ROLE
from sandbox.kube.seed import INSTANCE_TYPE, NODE_GROUP
from sandbox.places import Place

_VERSION = "1.34"
_SUBNETS = ["subnet-0a0000000000000a1", "subnet-0b0000000000000b2"]


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What is told of a cluster."""

    name: str
    place: Place
    endpoint: str
    authority: str
    """The certificate authority's PEM, in base64."""
    created_at: float
    """Seconds since 1970."""

    @property
    def arn(self) -> str:
        return f"arn:aws:eks:{self.place.region}:{self.place.account}:cluster/{self.name}"

    @property
    def node_group_name(self) -> str:
        return NODE_GROUP

    def cluster(self) -> dict[str, Any]:
        """The `Cluster` shape."""
        return {
            "name": self.name,
            "arn": self.arn,
            "createdAt": self.created_at,
            "version": _VERSION,
            "endpoint": self.endpoint,
            "roleArn": f"arn:aws:iam::{self.place.account}:role/demo-cluster",
            "resourcesVpcConfig": {
                "subnetIds": _SUBNETS,
                "securityGroupIds": [],
                "vpcId": "vpc-0c0000000000000c3",
                "endpointPublicAccess": True,
                "endpointPrivateAccess": False,
                "publicAccessCidrs": ["127.0.0.0/8"],
            },
            "kubernetesNetworkConfig": {"serviceIpv4Cidr": "10.100.0.0/16", "ipFamily": "ipv4"},
            "status": "ACTIVE",
            "certificateAuthority": {"data": self.authority},
            "platformVersion": "eks.1",
            "tags": {},
            "health": {"issues": []},
            "accessConfig": {"bootstrapClusterCreatorAdminPermissions": False, "authenticationMode": "API"},
            "deletionProtection": False,
        }

    def node_group(self, group_id: str) -> dict[str, Any]:
        """The `Nodegroup` shape."""
        prefix = self.arn.partition(":cluster/")[0]
        return {
            "nodegroupName": NODE_GROUP,
            "nodegroupArn": f"{prefix}:nodegroup/{self.name}/{NODE_GROUP}/{group_id}",
            "clusterName": self.name,
            "version": _VERSION,
            "releaseVersion": f"{_VERSION}.1-sandbox",
            "createdAt": self.created_at,
            "modifiedAt": self.created_at,
            "status": "ACTIVE",
            "capacityType": "ON_DEMAND",
            "scalingConfig": {"minSize": 2, "maxSize": 2, "desiredSize": 2},
            "instanceTypes": [INSTANCE_TYPE],
            "subnets": _SUBNETS,
            "amiType": "AL2023_x86_64_STANDARD",
            "nodeRole": f"arn:aws:iam::{self.place.account}:role/{NODE_ROLE}",
            "labels": {},
            "health": {"issues": []},
            "tags": {},
        }
