"""The cluster, its node groups and its Fargate profiles, as EKS describes them."""

import uuid
from dataclasses import dataclass
from typing import Any

from sandbox.aws.issuer import ISSUER
from sandbox.places import Place

NODE_GROUP = "demo-nodes"
INSTANCE_TYPE = "m6i.4xlarge"
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
            "identity": {"oidc": {"issuer": f"https://{ISSUER}"}},
            "status": "ACTIVE",
            "certificateAuthority": {"data": self.authority},
            "platformVersion": "eks.1",
            "tags": {},
            "health": {"issues": []},
            "accessConfig": {"bootstrapClusterCreatorAdminPermissions": False, "authenticationMode": "API"},
            "deletionProtection": False,
        }

    def node_group(self, name: str, role: str, created_at: float) -> dict[str, Any]:
        """The `Nodegroup` shape."""
        return {
            "nodegroupName": name,
            "nodegroupArn": self.part_arn("nodegroup", name),
            "clusterName": self.name,
            "version": _VERSION,
            "releaseVersion": f"{_VERSION}.1-sandbox",
            "createdAt": created_at,
            "modifiedAt": created_at,
            "status": "ACTIVE",
            "capacityType": "ON_DEMAND",
            "scalingConfig": {"minSize": 2, "maxSize": 2, "desiredSize": 2},
            "instanceTypes": [INSTANCE_TYPE],
            "subnets": _SUBNETS,
            "amiType": "AL2023_x86_64_STANDARD",
            "nodeRole": role,
            "labels": {},
            "health": {"issues": []},
            "tags": {},
        }

    def fargate_profile(self, name: str, role: str, created_at: float) -> dict[str, Any]:
        """The `FargateProfile` shape."""
        return {
            "fargateProfileName": name,
            "fargateProfileArn": self.part_arn("fargateprofile", name),
            "clusterName": self.name,
            "createdAt": created_at,
            "podExecutionRoleArn": role,
            "subnets": _SUBNETS,
            "selectors": [],
            "status": "ACTIVE",
            "tags": {},
            "health": {"issues": []},
        }

    def part_arn(self, kind: str, name: str) -> str:
        """The ARN of a node group or a Fargate profile, which ends in an id that is the same for the same name."""
        prefix = self.arn.partition(":cluster/")[0]
        return f"{prefix}:{kind}/{self.name}/{name}/{id_of(name)}"


def id_of(text: str) -> str:
    """The id at the end of an ARN, the same for the same name."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, text))
