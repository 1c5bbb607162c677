"""Who gets into the cluster: TLS, tokens as EKS takes them, and what a folder and a reset keep of it."""

import base64
import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sandbox.aws.identities import OPERATOR, SERVICE_USER
from sandbox.server import Sandbox
from tests.conftest import ACCOUNT, REGION
from tests.images import image, push_image
from tests.sandbox.clients import sdk

_QUERY = {"Action": "GetCallerIdentity", "Version": "2011-06-15"}
_OPERATOR_ARN = f"arn:aws:iam::{ACCOUNT}:user/{OPERATOR}"


class _Backdated(SigV4QueryAuth):  # type: ignore[misc] # untyped in botocore
    """Signs as if it were another time."""

    def __init__(self, *arguments: Any, at: str, **options: Any) -> None:  # noqa: ANN401 - passed on
        super().__init__(*arguments, **options)
        self._at = at

    def _modify_request_before_signing(self, request: AWSRequest) -> None:
        request.context["timestamp"] = self._at
        super()._modify_request_before_signing(request)


def token_of(url: str) -> str:
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


def presigned(
    aws: Sandbox,
    *,
    keys: Credentials | None = None,
    cluster: str | None = "demo",
    query: Mapping[str, str] = _QUERY,
    at: str | None = None,
    host: str | None = None,
) -> str:
    """The URL inside of a token."""
    operator = aws.credentials()
    keys = keys or Credentials(operator.access_key, operator.secret_key)
    headers = {"x-k8s-aws-id": cluster} if cluster else {}
    request = AWSRequest("GET", f"http://{host or aws.host()}/", params=dict(query), headers=headers)
    signer = (
        _Backdated(keys, "sts", REGION, expires=60, at=at) if at else SigV4QueryAuth(keys, "sts", REGION, expires=60)
    )
    signer.add_auth(request)
    return str(request.prepare().url)


def cluster(aws: Sandbox, token: str | None = None) -> httpx.Client:
    """A client of the cluster that verifies its certificate as strictly as Python can."""
    document = yaml.safe_load(aws.kubeconfig())
    authority = base64.b64decode(document["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(base_url=aws.kube_endpoint(), verify=context, headers=headers, trust_env=False)


def status(aws: Sandbox, token: str | None) -> int:
    with cluster(aws, token) as client:
        return client.get("/api/v1/namespaces/default").status_code


def test_a_presigned_caller_identity_opens_the_cluster(aws: Sandbox) -> None:
    assert status(aws, token_of(presigned(aws))) == 200
    assert aws.calls()[-1].principal == _OPERATOR_ARN


def test_the_kubeconfig_is_the_administrators(aws: Sandbox) -> None:
    document = yaml.safe_load(aws.kubeconfig())
    assert document["current-context"] == "sandbox"
    assert document["clusters"][0]["cluster"]["server"] == aws.kube_endpoint()
    with cluster(aws, document["users"][0]["user"]["token"]) as client:
        assert client.get("/api/v1/nodes").status_code == 200
        assert client.get("/api/v1/namespaces/kube-system/secrets").status_code == 200


@pytest.mark.asyncio
async def test_a_role_is_known_by_its_session(aws: Sandbox) -> None:
    async with sdk("sts", aws, user=SERVICE_USER) as sts:
        arn = f"arn:aws:iam::{ACCOUNT}:role/wharfinger"
        given = (await sts.assume_role(RoleArn=arn, RoleSessionName="s1"))["Credentials"]
    keys = Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    with cluster(aws, token_of(presigned(aws, keys=keys))) as client:
        assert client.get("/api/v1/nodes").status_code == 200
        assert client.get("/api/v1/namespaces/default/pods").status_code == 200
        assert client.get("/api/v1/namespaces/default/secrets").status_code == 403
        assert client.delete("/api/v1/namespaces/kube-public").status_code == 403
    assert aws.calls()[-1].principal == f"arn:aws:sts::{ACCOUNT}:assumed-role/wharfinger/s1"
    stolen = Credentials(given["AccessKeyId"], given["SecretAccessKey"], "another")
    assert status(aws, token_of(presigned(aws, keys=stolen))) == 401
    # With what it may do elsewhere it is no less nobody here, once its entry is gone.
    async with sdk("eks", aws) as eks:
        await eks.delete_access_entry(clusterName="demo", principalArn=arn)
    assert status(aws, token_of(presigned(aws, keys=keys))) == 401


@pytest.mark.asyncio
async def test_an_access_entry_reaches_as_far_as_its_scope(aws: Sandbox) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:user/{SERVICE_USER}"
    mine = aws.credentials(SERVICE_USER)
    token = token_of(presigned(aws, keys=Credentials(mine.access_key, mine.secret_key)))
    assert status(aws, token) == 401
    async with sdk("eks", aws) as eks:
        await eks.create_access_entry(clusterName="demo", principalArn=arn, username="the-service")
        assert status(aws, token) == 403
        policy = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
        scope = {"type": "namespace", "namespaces": ["default"]}
        await eks.associate_access_policy(clusterName="demo", principalArn=arn, policyArn=policy, accessScope=scope)
    with cluster(aws, token) as client:
        assert client.get("/api/v1/namespaces/default/pods").status_code == 200
        assert client.get("/api/v1/namespaces/kube-system/pods").status_code == 403
    assert aws.calls()[-1].principal == "the-service"


@pytest.mark.parametrize(
    "changes",
    [
        {"cluster": "another"},
        {"cluster": None},
        {"at": "20200101T000000Z"},
        {"at": "20990101T000000Z"},
        {"host": "sts.eu-central-1.amazonaws.com"},
        {"query": {"Action": "GetSessionToken", "Version": "2011-06-15"}},
        {"query": {"Action": "GetCallerIdentity", "Version": "2011-06-14"}},
        {"query": {**_QUERY, "More": "x"}},
        {"keys": Credentials("AKIAUNKNOWN", "secret")},
    ],
    ids=["cluster", "no-cluster", "old", "ahead", "host", "action", "version", "more", "key"],
)
def test_a_token_that_proves_nobody(aws: Sandbox, changes: dict[str, Any]) -> None:
    assert status(aws, token_of(presigned(aws, **changes))) == 401


def test_a_token_that_was_tampered_with(aws: Sandbox) -> None:
    url = presigned(aws)
    good = token_of(url)
    last = "0" if url[-1] != "0" else "1"
    tampered = {
        "signature": token_of(url[:-1] + last),
        "path": token_of(url.replace("/?", "/more?")),
        "scheme": token_of(url.replace("http:", "https:")),
        "twice": token_of(url + "&Action=GetCallerIdentity"),
        "fragment": token_of(url + "#x"),
        "padding": "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode() + b" ").decode() + "=",
        "prefix": good.replace("v1", "v2"),
        "size": good + "A" * 4096,
        "alphabet": good + "!",
        "empty": "k8s-aws-v1.",
        "none": None,
    }
    assert status(aws, good) == 200
    assert {name: status(aws, token) for name, token in tampered.items()} == dict.fromkeys(tampered, 401)


def test_a_reset_forgets_objects_and_entries_and_keeps_the_way_in(aws: Sandbox) -> None:
    before = aws.kubeconfig()
    token = yaml.safe_load(before)["users"][0]["user"]["token"]
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}
    with cluster(aws, token) as client:
        assert client.post("/api/v1/namespaces", json=made).status_code == 201
        aws.reset()
        assert client.get("/api/v1/namespaces/team").status_code == 404
        assert client.get("/api/v1/namespaces/default").status_code == 200
        assert len(client.get("/api/v1/nodes").json()["items"]) == 2
    assert aws.kubeconfig() == before


def test_a_fault_cuts_the_connection_of_the_cluster_too(aws: Sandbox) -> None:
    token = token_of(presigned(aws))
    aws.fault("GET namespaces", "reset")
    with cluster(aws, token) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            client.get("/api/v1/namespaces/default")
        assert client.get("/api/v1/namespaces/default").status_code == 200


def test_a_process_says_where_its_kubeconfig_is_and_keeps_it(tmp_path: Path) -> None:
    first, second = _told(tmp_path), _told(tmp_path)
    assert first["cluster"] == "demo"
    assert first["kubeconfig"] == str(tmp_path / "kubeconfig")
    assert (tmp_path / "kubeconfig").stat().st_mode & 0o777 == 0o600
    assert first["endpoints"] == second["endpoints"]
    assert yaml.safe_load((tmp_path / "kubeconfig").read_text()) == first["document"] == second["document"]


def _told(folder: Path) -> dict[str, Any]:
    """What a process on a folder says before it is ended, and the kubeconfig's content."""
    command = [sys.executable, "-m", "sandbox", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ) as process:  # noqa: S603 - our own
        assert process.stdout is not None
        told: dict[str, Any] = json.loads(process.stdout.readline())
        told["document"] = yaml.safe_load(Path(told["kubeconfig"]).read_text())
        process.send_signal(signal.SIGTERM)
    return told


@pytest_asyncio.fixture
async def reference(aws: Sandbox) -> str:
    """An image in the sandbox's registry."""
    async with sdk("ecr", aws) as ecr:
        await ecr.create_repository(repositoryName="app")
    return f"{aws.host()}/app@{await push_image(aws, 'app', '1', image('hello'))}"


def test_what_is_pushed_runs_and_its_node_port_answers(aws: Sandbox, reference: str) -> None:
    labels = {"app": "web"}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "c", "image": reference}]},
            },
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"type": "NodePort", "selector": labels, "ports": [{"port": 80}]},
    }
    with cluster(aws, token_of(presigned(aws))) as client:
        made = client.post("/api/v1/namespaces/default/services", json=service)
        client.post("/apis/apps/v1/namespaces/default/deployments", json=deployment).raise_for_status()
        with client.stream("GET", "/apis/apps/v1/namespaces/default/deployments", params={"watch": "1"}) as watch:
            for line in watch.iter_lines():
                if json.loads(line)["object"].get("status", {}).get("availableReplicas") == 1:
                    break
        [pod] = client.get("/api/v1/namespaces/default/pods").json()["items"]
    port = made.json()["spec"]["ports"][0]["nodePort"]
    told = httpx.get(f"http://{pod['status']['hostIP']}:{port}/", trust_env=False).json()
    assert (told["pod"], told["image"]) == (pod["metadata"]["name"], reference)


@pytest.mark.needs("aws")
def test_the_cli_makes_a_token_without_knowing_of_the_sandbox(aws: Sandbox) -> None:
    keys = aws.credentials()
    variables = {"AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key}
    done = subprocess.run(  # noqa: S603 - as a user types it
        ["aws", "eks", "get-token", "--cluster-name", "demo", "--region", REGION],  # noqa: S607 - likewise
        env={"PATH": os.environ["PATH"], "HOME": "/nowhere", **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    with cluster(aws, json.loads(done.stdout)["status"]["token"]) as kube:
        assert kube.get("/api/v1/namespaces").status_code == 200


def test_a_token_for_the_sts_of_another_region_is_refused(aws: Sandbox) -> None:
    for host, status in (("sts.eu-central-1.amazonaws.com", 200), ("sts.sa-east-1.amazonaws.com", 401)):
        url = presigned(aws, host=host).replace("http://", "https://")
        with cluster(aws, token_of(url)) as kube:
            assert kube.get("/api/v1/namespaces").status_code == status
