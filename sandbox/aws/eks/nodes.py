"""What EKS keeps of where the cluster's pods run: node groups, Fargate profiles and Auto Mode.

They are told of and no more: the nodes of the Kubernetes API are the seeded ones, whatever is made or deleted here.
"""

import json
from typing import Any, Literal

from sandbox.aws.eks.shapes import NODE_GROUP, ClusterFacts
from sandbox.aws.identities import NODE_ROLE
from sandbox.clock import CLOCK
from sandbox.state import State

Kind = Literal["nodegroup", "fargateProfile"]
ROLE_MEMBERS: dict[Kind, str] = {"nodegroup": "nodeRole", "fargateProfile": "podExecutionRoleArn"}
"""What the role is called in the shape of each."""
_COMPUTE = "compute"


class NodeSources:
    """Those of the one cluster."""

    def __init__(self, state: State, facts: ClusterFacts) -> None:
        self._state = state
        self._facts = facts
        state.sql.execute(
            "CREATE TABLE IF NOT EXISTS node_sources (kind TEXT NOT NULL, name TEXT NOT NULL, content TEXT NOT NULL,"
            " PRIMARY KEY (kind, name))"
        )
        if not state.all("SELECT kind FROM node_sources"):
            self._seed()

    def names(self, kind: Kind) -> list[str]:
        return [row["name"] for row in self._state.all("SELECT name FROM node_sources WHERE kind = ?", kind)]

    def find(self, kind: Kind, name: str) -> dict[str, Any] | None:
        """As EKS describes it."""
        kept = self._content(kind, name)
        if kept is None:
            return None
        shape = self._facts.node_group if kind == "nodegroup" else self._facts.fargate_profile
        return shape(name, kept["role"], kept["created"])

    def create(self, kind: Kind, name: str, role: str) -> None:
        self._keep(kind, name, {"role": role, "created": CLOCK.time()})

    def delete(self, kind: Kind, name: str) -> None:
        self._state.sql.execute("DELETE FROM node_sources WHERE kind = ? AND name = ?", (kind, name))

    def compute(self) -> dict[str, Any]:
        """What Auto Mode adds to the description of the cluster."""
        kept = self._content(_COMPUTE, "")
        return {"computeConfig": kept} if kept else {}

    def set_compute(self, config: dict[str, Any]) -> None:
        self._keep(_COMPUTE, "", config)

    def reset(self) -> None:
        self._state.sql.execute("DELETE FROM node_sources")
        self._seed()

    def _seed(self) -> None:
        self.create("nodegroup", NODE_GROUP, f"arn:aws:iam::{self._facts.place.account}:role/{NODE_ROLE}")

    def _content(self, kind: str, name: str) -> dict[str, Any] | None:
        row = self._state.one("SELECT content FROM node_sources WHERE kind = ? AND name = ?", kind, name)
        return json.loads(row["content"]) if row else None

    def _keep(self, kind: str, name: str, content: dict[str, Any]) -> None:
        self._state.sql.execute(
            "INSERT OR REPLACE INTO node_sources VALUES (?, ?, ?)", (kind, name, json.dumps(content))
        )
