"""With what rights the pods of a deployment run: the least there are, and what is asked for."""

from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import select, update

from sandbox.server import Sandbox
from service.base.db import Database
from service.base.tables import deployments
from tests.api.deploying import BODY, deploy_well
from tests.images import publish
from tests.marks import only_sqlite
from tests.sandbox.kube.api_server import DEPLOYMENTS

pytestmark = [pytest.mark.asyncio, only_sqlite]


@pytest_asyncio.fixture(autouse=True)
async def pushed(aws: Sandbox) -> None:
    await publish(aws, "myapp", "1")


async def pod_spec(kube: httpx.AsyncClient) -> dict[str, Any]:
    """What the Deployment has its pods be."""
    found = (await kube.get(f"{DEPLOYMENTS}/myapp")).json()
    return dict(found["spec"]["template"]["spec"])


async def make_account(kube: httpx.AsyncClient, name: str) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts"
    (await kube.post(path, json={"metadata": {"name": name}})).raise_for_status()


async def test_a_pod_has_the_least_rights_where_none_are_asked_for(
    deployer: httpx.AsyncClient, kube: httpx.AsyncClient
) -> None:
    await deploy_well(deployer)
    pod = await pod_spec(kube)
    assert pod["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": False,
    }


async def test_what_the_image_needs_is_asked_for(deployer: httpx.AsyncClient, kube: httpx.AsyncClient) -> None:
    asked = {
        "run_as_user": 1000,
        "run_as_group": 2000,
        "fs_group": 3000,
        "run_as_non_root": True,
        "read_only_root_filesystem": True,
        "allow_privilege_escalation": True,
        "capabilities": ["NET_BIND_SERVICE"],
    }
    await deploy_well(deployer, security=asked)
    pod = await pod_spec(kube)
    assert pod["securityContext"] == {
        "seccompProfile": {"type": "RuntimeDefault"},
        "runAsUser": 1000,
        "runAsGroup": 2000,
        "fsGroup": 3000,
        "runAsNonRoot": True,
    }
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": True,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        "readOnlyRootFilesystem": True,
    }


@pytest.mark.parametrize(
    "security",
    [{"capabilities": ["SYS_ADMIN"]}, {"run_as_user": -1}, {"run_as_user": 0, "run_as_non_root": True}, None],
)
async def test_more_than_a_container_runtime_grants_can_not_be_asked_for(
    deployer: httpx.AsyncClient, security: object
) -> None:
    answer = await deployer.post("/v1/deployments", json=BODY | {"security": security})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_body")
    assert answer.json()["errors"][0]["path"].startswith("body.security")


async def test_who_is_not_root_runs_where_pod_security_is_restricted(
    deployer: httpx.AsyncClient, kube: httpx.AsyncClient
) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    (await kube.post("/api/v1/namespaces", json={"metadata": {"name": "strict", "labels": labels}})).raise_for_status()
    await deploy_well(deployer, namespace="strict", security={"run_as_user": 1000, "run_as_non_root": True})


async def test_a_service_account_that_is_not_named_any_more_is_unset(
    admin: httpx.AsyncClient, kube: httpx.AsyncClient
) -> None:
    await make_account(kube, "runner")
    await deploy_well(admin, service_account="runner")
    named = await pod_spec(kube)
    assert (named["serviceAccountName"], named["serviceAccount"]) == ("runner", "runner")
    await deploy_well(admin)
    after = await pod_spec(kube)
    assert (after["serviceAccountName"], after["serviceAccount"]) == ("default", "default")


async def test_a_rollback_behind_a_service_account_does_not_need_it(
    admin: httpx.AsyncClient, kube: httpx.AsyncClient
) -> None:
    await deploy_well(admin)
    await make_account(kube, "runner")
    with_account = (await deploy_well(admin, service_account="runner")).json()
    await kube.delete("/api/v1/namespaces/default/serviceaccounts/runner")
    back = await admin.post(f"/v1/deployments/{with_account['id']}/rollback", params={"wait": "30"}, json={})
    assert back.status_code == 200, back.text


async def test_the_token_is_mounted_for_a_service_account_that_is_named(
    admin: httpx.AsyncClient, kube: httpx.AsyncClient
) -> None:
    await deploy_well(admin)
    assert (await pod_spec(kube))["automountServiceAccountToken"] is False
    await make_account(kube, "runner")
    await deploy_well(admin, service_account="runner")
    assert "automountServiceAccountToken" not in await pod_spec(kube)


async def test_a_rollback_behind_the_defaults_of_today_runs_as_it_did_then(
    deployer: httpx.AsyncClient, kube: httpx.AsyncClient, database: Database
) -> None:
    first = (await deploy_well(deployer)).json()
    async with database.write() as connection:
        chosen = deployments.c.id == first["id"]
        [spec] = (await connection.execute(select(deployments.c.spec).where(chosen))).scalars()
        older = {name: value for name, value in spec.items() if name != "security"}
        await connection.execute(update(deployments).where(chosen).values(spec=older))
    second = (await deploy_well(deployer)).json()
    back = await deployer.post(f"/v1/deployments/{second['id']}/rollback", params={"wait": "30"}, json={})
    assert back.status_code == 200, back.text
    pod = await pod_spec(kube)
    assert pod["securityContext"] == {}
    assert "securityContext" not in pod["containers"][0]
    assert "automountServiceAccountToken" not in pod
