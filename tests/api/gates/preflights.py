"""What tests of gates share: to ask for a preflight, and to read it."""

import json
from typing import Any

import httpx

from tests.conftest import ACCOUNT

Sdk = Any
"""A client of the AWS SDK."""

NODE_ROLE = f"arn:aws:iam::{ACCOUNT}:role/demo-node"
PULL_ONLY = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPullOnly"
PULL = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
GOOD = {
    "platforms": "ok",
    "permissions": "ok",
    "namespace": "ok",
    "node_roles": "ok",
    "repository_policy": "ok",
    "region": "ok",
}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow"} | one for one in statements]})


async def look(client: httpx.AsyncClient, image_name: str = "myapp:1", **parameters: str) -> dict[str, Any]:
    """The checks by name, and the `verdict` of them all."""
    answer = await client.get("/v1/clusters/demo/preflight", params={"image": image_name} | parameters)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    return {one["name"]: one for one in found["checks"]} | {"verdict": found["verdict"]}


def verdicts(found: dict[str, Any]) -> dict[str, str]:
    return {name: one["verdict"] for name, one in found.items() if name != "verdict"}
