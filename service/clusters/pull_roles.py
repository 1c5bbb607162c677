"""Who pulls in a cluster of EKS: the roles of its nodes, read at EKS."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.base.errors import WharfingerError
from service.base.tasks import or_error
from service.clients.eks import Eks


@dataclass(frozen=True, slots=True)
class PullRoles:
    """The roles by which a cluster's images are pulled, and what could not be asked."""

    users: Mapping[str, Sequence[str]]
    """By the ARN of a role who has it: `node group demo-nodes`, …"""
    errors: Sequence[WharfingerError]


async def find_pull_roles(eks: Eks) -> PullRoles:
    """Those that EKS knows of; nodes that join by themselves, and node classes of Auto Mode's own, it does not list."""
    answers = await asyncio.gather(or_error(_node_groups(eks)), or_error(_profiles(eks)), or_error(_auto_mode(eks)))
    users: dict[str, list[str]] = {}
    for user, role in (pair for one in answers if not isinstance(one, WharfingerError) for pair in one.items()):
        users.setdefault(role, []).append(user)
    return PullRoles(users, [one for one in answers if isinstance(one, WharfingerError)])


async def _node_groups(eks: Eks) -> Mapping[str, str]:
    return {f"node group {name}": role for name, role in (await eks.node_group_roles()).items()}


async def _profiles(eks: Eks) -> Mapping[str, str]:
    return {f"Fargate profile {name}": role for name, role in (await eks.fargate_roles()).items()}


async def _auto_mode(eks: Eks) -> Mapping[str, str]:
    role = await eks.auto_mode_role()
    return {"Auto Mode": role} if role else {}
