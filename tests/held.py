"""Rollouts that are stopped at one of their calls."""

import asyncio
from typing import Any

import httpx

from sandbox.faults import Hold, When
from sandbox.server import Sandbox


async def rollout_held(
    client: httpx.AsyncClient,
    aws: Sandbox,
    call: str,
    body: dict[str, Any],
    *,
    when: When = "before",
    within: float = 10.0,
) -> tuple[Hold, httpx.Response]:
    """Deploy, and stop the rollout at this call, which its dry run may make as well; gives what was accepted too."""
    dry_run = aws.hold("PATCH deployments")
    request = asyncio.create_task(client.post("/v1/deployments", json=body))
    assert await asyncio.to_thread(dry_run.reached, within)
    hold = aws.hold(call, when=when)
    dry_run.release()
    made = await request
    assert made.status_code == 202, made.text
    assert await asyncio.to_thread(hold.reached, within)
    return hold, made
