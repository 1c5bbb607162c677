"""The gate `region`: whether the image is where the cluster is."""

import httpx
import pytest

from sandbox.server import Sandbox
from tests.api.gates.preflights import look
from tests.conftest import REGION, SECOND_REGION
from tests.images import image, push_image
from tests.marks import only_sqlite

pytestmark = [pytest.mark.asyncio, only_sqlite]


async def test_another_region_is_unknown_until_the_image_is_here_too(
    viewer: httpx.AsyncClient, admin: httpx.AsyncClient, pushed: Sandbox
) -> None:
    for name in ("myapp", "far"):
        await admin.post("/v1/repositories", params={"registry": "local-us"}, json={"name": name})
    await push_image(pushed, "myapp", "1", image("1"), region=SECOND_REGION)
    await push_image(pushed, "far", "1", image("1"), region=SECOND_REGION)
    far = (await look(viewer, "far:1", registry="local-us"))["region"]
    assert far["verdict"] == "unknown"
    assert far["advice"].startswith(f"Replicate far to {REGION}")
    replicated = (await look(viewer, "myapp:1", registry="local-us"))["region"]
    assert replicated["verdict"] == "ok"
    assert replicated["detail"].endswith("deploy it with registry=local.")
