"""What is left of a read whose caller has gone."""

import asyncio
import gc

import pytest
import yaml
from lightkube.config.kubeconfig import KubeConfig

from sandbox.server import Sandbox
from service.clients.kube.client import Kube
from service.models.workloads import MANAGER

pytestmark = pytest.mark.asyncio
STEPS = 60
"""Turns of the loop: more than it takes to connect, with TLS, and to get an answer."""


async def test_a_read_that_is_cancelled_at_any_step_leaves_no_socket_open(aws: Sandbox) -> None:
    config = KubeConfig.from_dict(yaml.safe_load(aws.kubeconfig())).get()
    assert config is not None
    for steps in range(STEPS):
        kube = Kube("demo", config, manager=MANAGER, identity="an administrator")
        reading = asyncio.create_task(kube.nodes())
        for _ in range(steps):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await kube.close()
    # An open socket warns when it is collected, and here a warning is a failure.
    gc.collect()
