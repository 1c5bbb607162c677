"""The one RBAC that the cluster has: the roles of `deploy/cluster/`, bound to groups as that file says."""

from pathlib import Path
from typing import Any

import yaml

from sandbox.kube.identity import Rules

_FILE = Path(__file__).parents[2] / "deploy" / "cluster" / "access.yaml"


def rules_by_group() -> dict[str, list[Rules]]:
    objects = list(yaml.safe_load_all(_FILE.read_text()))
    roles = {one["metadata"]["name"]: _rules(one) for one in objects if one["kind"] == "ClusterRole"}
    rules: dict[str, list[Rules]] = {}
    for one in objects:
        for subject in one.get("subjects", ()):
            rules.setdefault(subject["name"], []).append(roles[one["roleRef"]["name"]])
    return rules


def _rules(role: dict[str, Any]) -> Rules:
    return Rules(
        frozenset(
            (verb, group, resource)
            for rule in role["rules"]
            for verb in rule["verbs"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
        )
    )
