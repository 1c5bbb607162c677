"""Who may reach the cluster, as EKS keeps it: access entries by principal, with their access policies."""

import json
from collections.abc import Iterable
from typing import Any, Literal

from sandbox.clock import CLOCK
from sandbox.state import State

Level = Literal["cluster-admin", "admin", "edit", "view", "admin-view"]
Entry = dict[str, Any]
"""`principal`, `username`, `groups`, `tags`, `created` (seconds), `policies` (by ARN: the scope and `associated`)."""

POLICY_ARN = "arn:aws:eks::aws:cluster-access-policy/"
LEVELS: dict[str, Level] = {
    "AmazonEKSClusterAdminPolicy": "cluster-admin",
    "AmazonEKSAdminPolicy": "admin",
    "AmazonEKSEditPolicy": "edit",
    "AmazonEKSViewPolicy": "view",
    "AmazonEKSAdminViewPolicy": "admin-view",
}
"""What of Kubernetes' own roles each access policy stands for."""


def default_username(principal: str) -> str:
    """What EKS calls a principal that was given no name: a role by its session, a user by its ARN."""
    account, (kind, _, name) = principal.split(":")[4], principal.split(":", 5)[5].partition("/")
    if kind != "role":
        return principal
    return f"arn:aws:sts::{account}:assumed-role/{name.rpartition('/')[2]}/{{{{SessionName}}}}"


class AccessEntries:
    """Those of the one cluster."""

    def __init__(self, state: State) -> None:
        self._state = state
        state.sql.execute(
            "CREATE TABLE IF NOT EXISTS access_entries (principal TEXT PRIMARY KEY, content TEXT NOT NULL)"
        )

    def find(self, principal: str) -> Entry | None:
        row = self._state.one("SELECT content FROM access_entries WHERE principal = ?", principal)
        return json.loads(row["content"]) if row else None

    def principals(self) -> list[str]:
        return [row["principal"] for row in self._state.all("SELECT principal FROM access_entries ORDER BY 1")]

    def create(
        self,
        principal: str,
        *,
        username: str | None = None,
        groups: Iterable[str] = (),
        tags: dict[str, str] | None = None,
    ) -> Entry:
        """:param username: what Kubernetes is to call the principal; None: as EKS does by itself."""
        made: Entry = {
            "principal": principal,
            "username": username or default_username(principal),
            "groups": list(groups),
            "tags": tags or {},
            "created": CLOCK.time(),
            "policies": {},
        }
        return self._keep(made)

    def delete(self, principal: str) -> None:
        self._state.sql.execute("DELETE FROM access_entries WHERE principal = ?", (principal,))

    def associate(self, entry: Entry, policy_arn: str, scope: dict[str, Any]) -> dict[str, Any]:
        """Attach an access policy, in place of what it was attached with before."""
        associated = {"scope": scope, "associated": CLOCK.time()}
        entry["policies"][policy_arn] = associated
        self._keep(entry)
        return associated

    def dissociate(self, entry: Entry, policy_arn: str) -> None:
        entry["policies"].pop(policy_arn, None)
        self._keep(entry)

    def clear(self) -> None:
        self._state.sql.execute("DELETE FROM access_entries")

    def _keep(self, entry: Entry) -> Entry:
        self._state.sql.execute(
            "INSERT OR REPLACE INTO access_entries VALUES (?, ?)", (entry["principal"], json.dumps(entry))
        )
        return entry
