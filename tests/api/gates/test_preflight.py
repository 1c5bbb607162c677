"""The preflight over HTTP: can the nodes of a cluster pull and run an image? Every gate is asked."""

import httpx
import pytest

from sandbox.server import Sandbox
from service.base.settings import ClusterSettings, Settings
from tests.api.gates.preflights import GOOD, NODE_ROLE, look, verdicts
from tests.conftest import ACCOUNT, REGION, Connect, MakeKey, Serve
from tests.marks import only_sqlite

pytestmark = [pytest.mark.asyncio, only_sqlite]


@pytest.mark.usefixtures("pushed")
@pytest.mark.parametrize(
    ("image_name", "platforms", "verdict"),
    [("myapp:1", "ok", "ok"), ("myapp:arm", "failed", "failed"), ("myapp:9", "failed", "failed")],
)
async def test_each_check_says_what_it_found(
    viewer: httpx.AsyncClient, image_name: str, platforms: str, verdict: str
) -> None:
    found = await look(viewer, image_name)
    assert verdicts(found) == GOOD | {"platforms": platforms}
    assert found["verdict"] == verdict
    assert found["node_roles"]["detail"] == "Role demo-node (node group demo-nodes) may pull."


@pytest.mark.usefixtures("pushed")
async def test_each_check_names_what_it_stands_on(viewer: httpx.AsyncClient) -> None:
    found = await look(viewer)
    read = {name: one["evidence"] for name, one in found.items() if name != "verdict"}
    assert read.pop("platforms")["platforms"] == ["linux/amd64"]
    assert read == {
        "permissions": {"missing": []},
        "namespace": {"dry_run": "Service/wharfinger-preflight"},
        "node_roles": {"roles": {NODE_ROLE: ["node group demo-nodes"]}},
        "repository_policy": {"account": ACCOUNT, "roles": [NODE_ROLE], "policy": None},
        "region": {"image": REGION, "cluster": REGION},
    }
    missing = (await look(viewer, "myapp:9"))["platforms"]
    assert missing["evidence"] == {"error": "image_not_found"}


@pytest.mark.usefixtures("pushed")
async def test_of_a_cluster_that_is_not_eks_the_nodes_are_unknown(
    settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey, aws: Sandbox
) -> None:
    kubeconfig = settings.data_dir / "kubeconfig"
    kubeconfig.write_text(aws.kubeconfig())
    clusters = (ClusterSettings(name="demo", kubeconfig=kubeconfig),)
    async with serve(settings.model_copy(update={"clusters": clusters})) as app:
        found = await look(connect(app, await make_key("viewer")))
    unknown = dict.fromkeys(("node_roles", "repository_policy", "region"), "unknown")
    assert verdicts(found) == GOOD | unknown
    assert "imagePullSecret" in found["node_roles"]["advice"]
