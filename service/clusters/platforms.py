"""Platforms (`os/architecture`, with a variant where there is one): of images and of nodes, and whether they fit."""

from collections.abc import Mapping, Sequence
from typing import Any

Node = Mapping[str, Any]


def platforms_of(nodes: Sequence[Node]) -> list[str]:
    """`os/architecture` of the nodes that tell theirs, each once."""
    return sorted({platform for one in nodes if (platform := _platform_of(one))})


def are_unfit(nodes: Sequence[Node], built: Sequence[str]) -> bool:
    """Whether none of the nodes can run an image: where one does not tell, or there is none, it is not known."""
    named = [_platform_of(one) for one in nodes]
    return bool(built and named) and None not in named and not fitting(built, platforms_of(nodes))


def _platform_of(node: Node) -> str | None:
    info = (node.get("status") or {}).get("nodeInfo") or {}
    system, architecture = info.get("operatingSystem"), info.get("architecture")
    return f"{system}/{architecture}" if system and architecture else None


def fitting(built: Sequence[str], nodes: Sequence[str]) -> set[str]:
    """The platforms of the nodes that an image was built for. Nodes do not tell their variant."""
    return {"/".join(one.split("/")[:2]) for one in built}.intersection(nodes)
