"""How wharfinger gets into a cluster: by a kubeconfig, or at EKS by tokens, minted anew where one is refused."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import pytest_asyncio
import yaml

from sandbox.server import Sandbox
from service.base.clock import utcnow
from service.base.errors import ClusterPermissionError, ClusterUnavailableError
from service.base.settings import ClusterSettings, DeadlineSettings, RegistrySettings, Settings
from service.clients.aws.sessions import Aws
from service.clients.eks import Eks
from service.clients.kube.client import Kube, eks_config
from service.clusters.clusters import Clusters
from service.registry.registries import Registries
from tests.administrator import administrator
from tests.conftest import ACCOUNT, Connect, MakeKey, Serve
from tests.images import publish
from tests.marks import only_sqlite
from tests.sandbox.clients import sdk
from tests.sandbox.kube.api_server import SERVICES, service

pytestmark = pytest.mark.asyncio
BODY: dict[str, Any] = {"cluster": "kind", "name": "myapp", "image": "myapp:1", "port": 8080}
MINE = {"clusterName": "demo", "principalArn": f"arn:aws:iam::{ACCOUNT}:role/wharfinger"}
VIEW = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSAdminViewPolicy"
UNKNOWN = "k8s-aws-v1.bm9ib2R5"
"""A token that proves nobody."""

NOWHERE = "https://127.0.0.1:1"

UNTRUSTED = """
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1", certificate-authority-data: bm9uZQ==}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the kubeconfig is to be."""
    return tmp_path / "clusters" / "config"


AdminOf = Callable[[ClusterSettings], Awaitable[httpx.AsyncClient]]


@pytest_asyncio.fixture
async def admin_of(settings: Settings, serve: Serve, connect: Connect, make_key: MakeKey) -> AsyncIterator[AdminOf]:
    """Starts a service with one cluster, and gives its admin."""
    async with AsyncExitStack() as stack:

        async def start(cluster: ClusterSettings) -> httpx.AsyncClient:
            app = await stack.enter_async_context(serve(settings.model_copy(update={"clusters": (cluster,)})))
            return connect(app, await make_key("admin"))

        yield start


@pytest_asyncio.fixture
async def pushed(aws: Sandbox) -> None:
    await publish(aws, "myapp", "1")


def written(file: Path, content: str) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(content)
    return file


@only_sqlite
@pytest.mark.usefixtures("pushed")
@pytest.mark.parametrize("context", ["sandbox", None], ids=["named", "current"])
async def test_a_cluster_of_a_kubeconfig_is_deployed_to(
    admin_of: AdminOf, aws: Sandbox, file: Path, context: str | None
) -> None:
    kubeconfig = written(file, aws.kubeconfig())
    admin = await admin_of(ClusterSettings(name="kind", kubeconfig=kubeconfig, context=context))
    assert [(one["name"], one["kind"]) for one in (await admin.get("/v1/clusters")).json()["items"]] == [
        ("kind", "kubeconfig")
    ]
    about = (await admin.get("/v1/clusters/kind")).json()
    assert (about["reachable"], about["nodes"], about["architectures"]) == (True, 2, ["linux/amd64"]), about
    assert about["version"].startswith("v1.34")
    made = await admin.post("/v1/deployments", params={"wait": "30"}, json=BODY)
    assert made.status_code == 200, made.text
    assert {call.principal for call in aws.calls() if call.service == "kube"} == {"sandbox-admin"}
    assert "DescribeCluster" not in {call.operation for call in aws.calls()}


@only_sqlite
@pytest.mark.usefixtures("pushed")
async def test_a_kubeconfig_that_is_missing_is_said_and_looked_for_again(
    admin_of: AdminOf, aws: Sandbox, file: Path
) -> None:
    admin = await admin_of(ClusterSettings(name="kind", kubeconfig=file, context="sandbox"))
    about = (await admin.get("/v1/clusters/kind")).json()
    assert (about["reachable"], about["problem"]) == (False, "cluster_unavailable")
    assert f"{file} not found" in about["detail"]
    answer = await admin.post("/v1/deployments", json=BODY)
    assert (answer.status_code, answer.json()["code"]) == (503, "cluster_unavailable")
    assert f"{file} not found" in answer.json()["detail"]
    written(file, aws.kubeconfig())
    assert (await admin.get("/v1/clusters/kind")).json()["reachable"] is True


@only_sqlite
async def test_a_kubeconfig_that_is_rewritten_is_read_again(admin_of: AdminOf, aws: Sandbox, file: Path) -> None:
    elsewhere = aws.kubeconfig().replace(aws.kube_endpoint(), NOWHERE)
    admin = await admin_of(ClusterSettings(name="kind", kubeconfig=written(file, elsewhere)))
    assert (await admin.get("/v1/clusters/kind")).json()["problem"] == "cluster_unavailable"
    written(file, aws.kubeconfig())
    assert (await admin.get("/v1/clusters/kind")).json()["reachable"] is True


@only_sqlite
async def test_a_kubeconfigs_new_token_is_taken(admin_of: AdminOf, aws: Sandbox, file: Path) -> None:
    document = yaml.safe_load(aws.kubeconfig())
    document["users"][0]["user"]["token"] = UNKNOWN
    admin = await admin_of(ClusterSettings(name="kind", kubeconfig=written(file, yaml.safe_dump(document))))
    assert (await admin.get("/v1/clusters/kind")).json()["problem"] == "cluster_access_missing"
    written(file, aws.kubeconfig())
    assert (await admin.get("/v1/clusters/kind")).json()["reachable"] is True


@only_sqlite
@pytest.mark.usefixtures("pushed")
async def test_a_context_that_is_missing_is_said(admin_of: AdminOf, aws: Sandbox, file: Path) -> None:
    admin = await admin_of(
        ClusterSettings(name="kind", kubeconfig=written(file, aws.kubeconfig()), context="elsewhere")
    )
    answer = await admin.post("/v1/deployments", json=BODY)
    assert (answer.status_code, answer.json()["code"]) == (503, "cluster_unavailable")
    assert "Context 'elsewhere' not found" in answer.json()["detail"]


@only_sqlite
@pytest.mark.parametrize(
    "content",
    ["apiVersion: v1\nkind: Config\n", "", "clusters: [", "- a", "clusters: 3", UNTRUSTED],
    ids=["no-contexts", "empty", "no-yaml", "a-list", "a-number", "no-certificate"],
)
async def test_a_kubeconfig_that_is_none_is_said(admin_of: AdminOf, file: Path, content: str) -> None:
    admin = await admin_of(ClusterSettings(name="kind", kubeconfig=written(file, content)))
    about = (await admin.get("/v1/clusters/kind")).json()
    assert (about["reachable"], about["problem"]) == (False, "cluster_unavailable")
    assert str(file) in about["detail"]


@only_sqlite
@pytest.mark.parametrize(
    ("content", "mistake"),
    [
        ("users:\n- name: u\n  user:\n    token: hush: hush\n", "no YAML at line 4"),
        ("users:\n- name: u\n  user: {token: {hush: 1}}\nclusters: []\ncontexts: []\n", "not as kubectl"),
    ],
    ids=["no-yaml", "no-token"],
)
async def test_what_is_wrong_with_a_kubeconfig_is_said_without_what_stands_in_it(
    admin_of: AdminOf, file: Path, capsys: pytest.CaptureFixture[str], content: str, mistake: str
) -> None:
    admin = await admin_of(ClusterSettings(name="kind", kubeconfig=written(file, content)))
    about = (await admin.get("/v1/clusters/kind")).json()
    assert mistake in about["detail"]
    refused = await admin.post("/v1/deployments", json=BODY)
    assert (refused.status_code, refused.json()["code"]) == (503, "cluster_unavailable")
    assert "hush" not in about["detail"] + refused.text + capsys.readouterr().err


@only_sqlite
@pytest.mark.usefixtures("pushed")
async def test_credentials_that_a_command_does_not_give_are_told_of_without_its_words(
    admin_of: AdminOf, aws: Sandbox, file: Path
) -> None:
    document = yaml.safe_load(aws.kubeconfig())
    command = {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", "echo hush >&2; false"]}
    document["users"][0]["user"] = {"exec": command}
    admin = await admin_of(ClusterSettings(name="kind", kubeconfig=written(file, yaml.safe_dump(document))))
    answer = await admin.post("/v1/deployments", json=BODY)
    assert (answer.status_code, answer.json()["code"]) == (503, "cluster_unavailable"), answer.text
    assert f"the user of {file} for cluster kind can't be had" in answer.json()["detail"]
    assert "hush" not in answer.text


@only_sqlite
@pytest.mark.usefixtures("pushed")
async def test_a_kubeconfig_whose_token_is_refused_is_named(admin_of: AdminOf, aws: Sandbox, file: Path) -> None:
    document = yaml.safe_load(aws.kubeconfig())
    document["users"][0]["user"]["token"] = UNKNOWN
    admin = await admin_of(ClusterSettings(name="kind", kubeconfig=written(file, yaml.safe_dump(document))))
    answer = await admin.post("/v1/deployments", json=BODY)
    assert (answer.status_code, answer.json()["code"]) == (502, "cluster_access_missing"), answer.text
    assert f"the user of {file}: give it credentials" in answer.json()["detail"]


@only_sqlite
async def test_a_refused_token_is_minted_anew_once(admin_of: AdminOf, aws: Sandbox) -> None:
    admin = await admin_of(ClusterSettings(name="demo"))
    assert (await admin.get("/v1/clusters/demo")).json()["reachable"] is True
    first = aws.hold("LIST nodes")
    asking = asyncio.create_task(admin.get("/v1/clusters/demo"))
    assert await asyncio.to_thread(first.reached, 10)
    async with sdk("eks", aws) as eks:
        await eks.delete_access_entry(**MINE)
        second = aws.hold("LIST nodes")
        first.release()
        assert await asyncio.to_thread(second.reached, 10)
        await eks.create_access_entry(**MINE)
        await eks.associate_access_policy(**MINE, policyArn=VIEW, accessScope={"type": "cluster"})
    second.release()
    assert (await asking).json()["reachable"] is True
    assert [call.status for call in aws.calls() if call.operation == "LIST nodes"] == [200, 401, 200]


@only_sqlite
async def test_a_second_refusal_is_the_end_of_it(admin_of: AdminOf, aws: Sandbox) -> None:
    admin = await admin_of(ClusterSettings(name="demo"))
    async with sdk("eks", aws) as eks:
        await eks.delete_access_entry(**MINE)
    about = (await admin.get("/v1/clusters/demo")).json()
    assert (about["reachable"], about["problem"]) == (False, "cluster_access_missing")
    assert MINE["principalArn"] in about["detail"]
    assert [call.status for call in aws.calls() if call.operation == "LIST nodes"] == [401, 401]


class Handed:
    """Hands out tokens that prove nobody, and `good` once a new one is asked for."""

    def __init__(self, good: str) -> None:
        self._tokens = {False: UNKNOWN, True: good}
        self.asked: list[bool] = []

    async def token(self, *, renew: bool = False) -> str:
        self.asked.append(renew)
        return self._tokens[renew]


@pytest_asyncio.fixture
async def eks(aws: Sandbox, registries: tuple[RegistrySettings, ...]) -> AsyncIterator[Eks]:
    """The cluster, with the Service `there`."""
    async with administrator(aws) as kube:
        (await kube.post(SERVICES, json=service("there"))).raise_for_status()
    clients = Aws(registries, DeadlineSettings())
    yield Eks((await clients.open())["local"], "demo")
    await clients.close()


async def test_a_token_is_minted_anew_before_it_ends(registries: tuple[RegistrySettings, ...]) -> None:
    now, minted = utcnow(), []
    aws = Aws(registries, DeadlineSettings())
    clients = (await aws.open())["local"]
    sts = await clients.sts.get()
    sts.meta.events.register("before-sign.sts.GetCallerIdentity", lambda **_: minted.append(now))
    eks = Eks(clients, "demo", clock=lambda: now)
    begun = now
    # EKS takes it for fifteen minutes, and a request has to arrive in time.
    for minutes in (0, 13, 14.1, 27, 28.3):
        now = begun + timedelta(minutes=minutes)
        await eks.token()
    assert [(one - begun) / timedelta(minutes=1) for one in minted] == [0, 14.1, 28.3]
    await aws.close()


def moved(parsed: dict[str, Any], **_: object) -> None:
    """What EKS said of the cluster's earlier life."""
    parsed["cluster"]["endpoint"] = NOWHERE


async def test_a_cluster_made_again_under_its_name_is_found(registries: tuple[RegistrySettings, ...]) -> None:
    aws = Aws(registries, DeadlineSettings())
    opened = await aws.open()
    events = (await opened["local"].eks.get()).meta.events
    clusters = Clusters(
        settings=(ClusterSettings(name="demo"),),
        registries=Registries(clients=opened, default="local"),
        own_namespace="wharfinger",
    )
    events.register("after-call.eks.DescribeCluster", moved)
    earlier = await clusters.connect("demo")
    with pytest.raises(ClusterUnavailableError):
        await earlier.nodes()
    events.unregister("after-call.eks.DescribeCluster", moved)
    assert await _nodes(await clusters.connect("demo"))
    await clusters.close()
    await aws.close()


async def test_a_cluster_that_is_away_is_looked_for_now_and_then_and_kept(
    aws: Sandbox, registries: tuple[RegistrySettings, ...]
) -> None:
    clients = Aws(registries, DeadlineSettings())
    clusters = Clusters(
        settings=(ClusterSettings(name="demo"),),
        registries=Registries(clients=await clients.open(), default="local"),
        own_namespace="wharfinger",
    )
    first = await clusters.connect("demo")
    for _ in range(3):
        aws.fault("LIST nodes", "reset")
        with pytest.raises(ClusterUnavailableError):
            await (await clusters.connect("demo")).nodes()
    assert await clusters.connect("demo") is first
    assert await _nodes(first)
    assert [one.operation for one in aws.calls()].count("DescribeCluster") == 2
    await clusters.close()
    await clients.close()


async def _nodes(kube: Kube) -> bool:
    return len(await kube.nodes()) == 2


async def _find(kube: Kube) -> bool:
    return await kube.find("Deployment", "default", "nobody") is None


async def _watch(kube: Kube) -> bool:
    changes = cast("AsyncGenerator[tuple[str, dict[str, Any]], None]", kube.watch("Service", "default"))
    async with aclosing(changes):
        change, found = await anext(changes)
    return (change, found["metadata"]["name"]) == ("ADDED", "there")


async def _may(kube: Kube) -> bool:
    return await kube.may("patch", "apps", "deployments", "default")


CALLS = [_nodes, _find, _may, _watch]


async def connected(eks: Eks, tokens: Handed) -> Kube:
    facts = await eks.describe()
    config = eks_config("demo", facts.endpoint or "", facts.certificate_authority or "")
    return Kube("demo", config, manager="wharfinger", identity="somebody", tokens=tokens)


@pytest.mark.parametrize("call", CALLS)
async def test_every_call_goes_on_with_the_new_token(eks: Eks, call: Callable[[Kube], Awaitable[bool]]) -> None:
    tokens = Handed(await eks.token())
    kube = await connected(eks, tokens)
    assert await call(kube)
    assert tokens.asked == [False, True]
    await kube.close()


@pytest.mark.parametrize("call", CALLS)
async def test_every_call_ends_where_the_new_token_is_refused_too(
    eks: Eks, call: Callable[[Kube], Awaitable[bool]]
) -> None:
    tokens = Handed(UNKNOWN)
    kube = await connected(eks, tokens)
    with pytest.raises(ClusterPermissionError, match="does not know somebody: give it an access entry") as caught:
        await call(kube)
    assert caught.value.code == "cluster_access_missing"
    assert tokens.asked == [False, True]
    await kube.close()
