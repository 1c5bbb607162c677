"""Amazon EKS, translated: where a cluster is, and the bearer tokens that it takes."""

import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from service.base.clock import utcnow
from service.base.tasks import all_of
from service.clients.aws.sessions import RegistryClients
from service.clients.aws.translation import translated

_ID_HEADER = "x-k8s-aws-id"
_TOKEN_PREFIX = "k8s-aws-v1."  # noqa: S105 - what every token begins with
_SAID_TO_LAST = 60
"""X-Amz-Expires of the presigned URL; EKS does not look at it (aws-iam-authenticator, pkg/token/token.go)."""
_LASTS = timedelta(minutes=14)
"""EKS takes a token for 15 minutes after it was signed."""


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What DescribeCluster says: `certificate_authority` is base64 of PEM; both are None while it is being made."""

    status: str
    version: str | None
    endpoint: str | None
    certificate_authority: str | None


class Eks:
    """One EKS cluster, under its registry's role."""

    def __init__(self, clients: RegistryClients, name: str, *, clock: Callable[[], datetime] = utcnow) -> None:
        self._clients = clients
        self._name = name
        self._clock = clock
        self._token: tuple[str, datetime] | None = None

    async def describe(self) -> ClusterFacts:
        """:raises NotFoundError: EKS has no cluster of that name (`cluster_not_found`)."""
        eks = await self._clients.eks.get()
        with translated("DescribeCluster", cluster=self._name):
            cluster = (await eks.describe_cluster(name=self._name))["cluster"]
            return ClusterFacts(
                cluster.get("status", "UNKNOWN"),
                cluster.get("version"),
                cluster.get("endpoint"),
                cluster.get("certificateAuthority", {}).get("data"),
            )

    async def auto_mode_role(self) -> str | None:
        """ARN of the role of Auto Mode's built-in node pools; None: there are none."""
        eks = await self._clients.eks.get()
        with translated("DescribeCluster", cluster=self._name):
            cluster = (await eks.describe_cluster(name=self._name))["cluster"]
            compute = cluster.get("computeConfig", {})
            return compute.get("nodeRoleArn") if compute.get("enabled") else None

    async def node_group_roles(self) -> dict[str, str]:
        """ARNs of the roles of the managed node groups, by the groups' names."""
        eks = await self._clients.eks.get()
        with translated("ListNodegroups", cluster=self._name):
            pages = eks.get_paginator("list_nodegroups").paginate(clusterName=self._name)
            names = [name async for page in pages for name in page["nodegroups"]]
        return await _roles(names, self._node_group_role)

    async def fargate_roles(self) -> dict[str, str]:
        """ARNs of the roles that Fargate pulls images by (pod execution roles), by the names of the profiles."""
        eks = await self._clients.eks.get()
        with translated("ListFargateProfiles", cluster=self._name):
            pages = eks.get_paginator("list_fargate_profiles").paginate(clusterName=self._name)
            names = [name async for page in pages for name in page["fargateProfileNames"]]
        return await _roles(names, self._fargate_role)

    async def _node_group_role(self, name: str) -> str | None:
        """None: deleted since it was listed."""
        eks = await self._clients.eks.get()
        with translated("DescribeNodegroup", cluster=self._name):
            try:
                answer = await eks.describe_nodegroup(clusterName=self._name, nodegroupName=name)
            except eks.exceptions.ResourceNotFoundException:
                return None
            return answer["nodegroup"].get("nodeRole")

    async def _fargate_role(self, name: str) -> str | None:
        """None: deleted since it was listed."""
        eks = await self._clients.eks.get()
        with translated("DescribeFargateProfile", cluster=self._name):
            try:
                answer = await eks.describe_fargate_profile(clusterName=self._name, fargateProfileName=name)
            except eks.exceptions.ResourceNotFoundException:
                return None
            return answer["fargateProfile"].get("podExecutionRoleArn")

    async def identity(self) -> str:
        """The ARN that the cluster knows us by, for the access entry that it needs."""
        sts = await self._clients.sts.get()
        with translated("GetCallerIdentity"):
            return (await sts.get_caller_identity())["Arn"]

    async def token(self, *, renew: bool = False) -> str:
        """A bearer token that lasts a minute at least: a presigned GetCallerIdentity that names the cluster."""
        if renew and self._clients.session is not None:
            self._clients.session.forget()
        if self._token is None or renew or self._token[1] < self._clock():
            ends = self._clock() + _LASTS
            url = await self._presigned()
            self._token = (_TOKEN_PREFIX + base64.urlsafe_b64encode(url.encode()).decode().rstrip("="), ends)
        return self._token[0]

    async def _presigned(self) -> str:
        sts = await self._clients.sts.get()
        events = sts.meta.events
        # By their ids, so that clusters that share a client register once.
        events.register("provide-client-params.sts.GetCallerIdentity", _keep_cluster, unique_id="eks-keep-cluster")
        events.register("before-sign.sts.GetCallerIdentity", _sign_cluster, unique_id="eks-sign-cluster")
        with translated("GetCallerIdentity"):
            parameters: Any = {_ID_HEADER: self._name}
            return await sts.generate_presigned_url(
                "get_caller_identity", Params=parameters, ExpiresIn=_SAID_TO_LAST, HttpMethod="GET"
            )


async def _roles(names: Sequence[str], find: Callable[[str], Awaitable[str | None]]) -> dict[str, str]:
    roles = await all_of(map(find, names))
    return {name: role for name, role in zip(names, roles, strict=True) if role}


def _keep_cluster(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
    if _ID_HEADER in params:
        context[_ID_HEADER] = params.pop(_ID_HEADER)


def _sign_cluster(request: Any, **_: object) -> None:  # noqa: ANN401 - botocore's own type
    if _ID_HEADER in request.context:
        request.headers[_ID_HEADER] = request.context[_ID_HEADER]
