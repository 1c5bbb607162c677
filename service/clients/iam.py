"""AWS IAM, translated: a role and the policies that it has. IAM is one for all Regions of a partition."""

from collections.abc import Sequence
from typing import Any, cast

from service.clients.aws.sessions import RegistryClients
from service.clients.aws.translation import translated

Document = dict[str, Any]


class Iam:
    """The roles of one registry's account."""

    def __init__(self, clients: RegistryClients) -> None:
        self._clients = clients

    async def has_boundary(self, role: str) -> bool | None:
        """Whether the role has a permissions boundary; None: there is no such role."""
        iam = await self._clients.iam.get()
        with translated("GetRole", role=role):
            try:
                described = (await iam.get_role(RoleName=role))["Role"]
            except iam.exceptions.NoSuchEntityException:
                return None
            return "PermissionsBoundary" in described

    async def attached_policies(self, role: str) -> Sequence[str]:
        """The ARNs of the managed policies, AWS's own and the account's."""
        iam = await self._clients.iam.get()
        with translated("ListAttachedRolePolicies", role=role):
            pages = iam.get_paginator("list_attached_role_policies").paginate(RoleName=role)
            return [str(one["PolicyArn"]) async for page in pages for one in page["AttachedPolicies"]]

    async def inline_policies(self, role: str) -> Sequence[str]:
        """The names of the policies that are the role's alone."""
        iam = await self._clients.iam.get()
        with translated("ListRolePolicies", role=role):
            pages = iam.get_paginator("list_role_policies").paginate(RoleName=role)
            return [str(one) async for page in pages for one in page["PolicyNames"]]

    async def inline_document(self, role: str, policy: str) -> Document:
        iam = await self._clients.iam.get()
        with translated("GetRolePolicy", role=role):
            answer = await iam.get_role_policy(RoleName=role, PolicyName=policy)
            return cast("Document", answer["PolicyDocument"])

    async def managed_document(self, policy_arn: str) -> Document:
        """What a managed policy says in the version that counts."""
        iam = await self._clients.iam.get()
        with translated("GetPolicy", policy=policy_arn):
            version = (await iam.get_policy(PolicyArn=policy_arn))["Policy"]["DefaultVersionId"]
        with translated("GetPolicyVersion", policy=policy_arn):
            answer = await iam.get_policy_version(PolicyArn=policy_arn, VersionId=version)
            return cast("Document", answer["PolicyVersion"]["Document"])
