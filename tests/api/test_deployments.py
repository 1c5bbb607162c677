"""Deployments over HTTP, against the stand-in's registry and cluster: rollouts are real, up to the containers."""

import asyncio
import json
from typing import Any

import httpx
import pytest
import pytest_asyncio

from sandbox.server import Sandbox
from tests.api.deploying import BODY
from tests.conftest import ACCOUNT, REGION, Connect, MakeKey
from tests.held import rollout_held
from tests.images import image, publish, push_image


@pytest_asyncio.fixture
async def pushed(aws: Sandbox) -> Sandbox:
    """The repository `myapp` with the tags 1 and 2, and `arm` for another architecture."""
    await publish(aws, "myapp", "1", "2")
    await push_image(aws, "myapp", "arm", image("three", "arm64"))
    return aws


async def deploy(client: httpx.AsyncClient, wait: str = "30", **changes: object) -> httpx.Response:
    return await client.post("/v1/deployments", params={"wait": wait}, json=BODY | changes)


@pytest.mark.asyncio
@pytest.mark.usefixtures("pushed")
async def test_a_deployment_succeeds_and_its_url_answers(deployer: httpx.AsyncClient, aws: Sandbox) -> None:
    answer = await deploy(deployer, replicas=2)
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert (made["status"], made["progress"]["available"]) == ("succeeded", 2)
    assert made["image_uri"] == f"{aws.host(ACCOUNT, REGION)}/myapp@{made['digest']}"
    assert answer.headers["location"] == f"/v1/deployments/{made['id']}"
    async with httpx.AsyncClient(trust_env=False) as anybody:
        found = [(await anybody.get(url)).json()["image"] for url in made["urls"]]
    assert found == [made["image_uri"]] * len(made["urls"])
    assert found


@pytest.mark.asyncio
@pytest.mark.usefixtures("pushed")
async def test_without_wait_it_is_accepted_and_can_be_waited_for(deployer: httpx.AsyncClient) -> None:
    answer = await deployer.post("/v1/deployments", json=BODY)
    assert answer.status_code == 202
    over = await deployer.get(answer.headers["location"], params={"wait": "30"}, headers={"Accept": "text/plain"})
    assert over.status_code == 200
    assert over.text.startswith("http://127.")
    history = await deployer.get("/v1/deployments", params={"name": "myapp"})
    assert [one["status"] for one in history.json()["items"]] == ["succeeded"]


@pytest.mark.asyncio
@pytest.mark.usefixtures("pushed")
async def test_every_change_of_the_cluster_is_a_child_of_the_request(
    deployer: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    made = (await deploy(deployer)).json()
    trail = (await admin.get("/v1/audit")).json()["items"]
    assert [(one["action"], one["status"], one["parent_id"]) for one in trail] == [
        ("cluster.apply_service", "succeeded", made["id"]),
        ("cluster.apply_deployment", "succeeded", made["id"]),
        ("deployment.create", "succeeded", None),
    ]
    assert trail[1]["request"]["digest"] == made["digest"]
    assert trail[2]["id"] == made["id"]


@pytest.mark.asyncio
@pytest.mark.usefixtures("pushed")
async def test_values_of_the_environment_are_neither_in_the_trail_nor_in_answers(
    deployer: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    answer = await deploy(deployer, env={"PASSWORD": "hunter2"})
    trail = await admin.get("/v1/audit")
    assert answer.json()["spec"]["env"] == {"PASSWORD": "…"}
    assert "hunter2" not in answer.text + trail.text


@pytest.mark.asyncio
@pytest.mark.usefixtures("pushed")
@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"image": "myapp:3"}, 404, "image_not_found"),
        ({"image": "other:1"}, 404, "repository_not_found"),
        ({"image": "myapp:arm"}, 422, "platform_mismatch"),
        ({"cluster": "none"}, 404, "cluster_not_found"),
        ({"namespace": "none"}, 404, "namespace_not_found"),
        ({"name": "My_App"}, 422, "invalid_body"),
        ({"port": 0}, 422, "invalid_body"),
        ({"node_port": 80}, 422, "invalid_body"),
        ({"env": {"A B": "1"}}, 422, "invalid_body"),
        ({"resources": {"limits": {"cpu": "much"}}}, 422, "invalid_body"),
        ({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}, 422, "cluster_refused_value"),
        ({"force": True}, 403, "forbidden"),
        ({"adopt": True}, 403, "forbidden"),
    ],
)
async def test_what_can_not_be_is_refused_before_it_is_accepted(
    deployer: httpx.AsyncClient, changes: dict[str, Any], status: int, code: str
) -> None:
    answer = await deploy(deployer, **changes)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert (await deployer.get("/v1/deployments")).json()["items"] == []


@pytest.mark.asyncio
@pytest.mark.usefixtures("pushed")
async def test_a_node_port_that_is_taken_is_a_conflict(deployer: httpx.AsyncClient) -> None:
    assert (await deploy(deployer, node_port=32410)).status_code == 200
    answer = await deploy(deployer, name="second", node_port=32410)
    assert (answer.status_code, answer.json()["code"]) == (409, "node_port_taken")


@pytest.mark.asyncio
@pytest.mark.usefixtures("pushed")
async def test_a_crash_loop_fails_with_the_containers_last_words_and_rolls_back(deployer: httpx.AsyncClient) -> None:
    good = (await deploy(deployer)).json()
    answer = await deploy(deployer, image="myapp:2", on_failure="rollback", env={"SANDBOX_EXIT": "3 no such table"})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (409, "deployment_failed")
    failed = problem["deployment"]
    assert failed["reason"]["code"] == "crash_loop"
    assert "no such table" in failed["reason"]["message"]
    back = await deployer.get(f"/v1/deployments/{failed['rolled_back_by']}", params={"wait": "30"})
    assert (back.status_code, back.json()["kind"], back.json()["digest"]) == (200, "rollback", good["digest"])
    assert back.json()["urls"] == good["urls"]
    assert back.json()["rollback_to"] == good["id"]


@pytest.mark.asyncio
@pytest.mark.usefixtures("pushed")
async def test_a_newer_request_supersedes_the_one_that_runs(deployer: httpx.AsyncClient) -> None:
    stuck = await deployer.post("/v1/deployments", json=BODY | {"env": {"SANDBOX_READY_AFTER": "never"}})
    newer = await deploy(deployer, image="myapp:2")
    assert newer.status_code == 200, newer.text
    older = await deployer.get(stuck.headers["location"], params={"wait": "5"})
    assert (older.status_code, older.json()["code"]) == (409, "deployment_superseded")
    assert older.json()["deployment"]["superseded_by"] == newer.json()["id"]


@pytest.mark.asyncio
@pytest.mark.usefixtures("pushed")
async def test_twenty_at_once_end_with_one_running_the_last_accepted(deployer: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *(deployer.post("/v1/deployments", json=BODY | {"labels": {"try": str(number)}}) for number in range(20))
    )
    assert {one.status_code for one in answers} == {202}
    last = max((one.json() for one in answers), key=lambda one: int(one["generation"]))
    assert (await deployer.get(f"/v1/deployments/{last['id']}", params={"wait": "30"})).status_code == 200
    ended = (await deployer.get("/v1/deployments")).json()["items"]
    assert sorted(one["generation"] for one in ended) == list(range(1, 21))
    assert {one["status"] for one in ended} <= {"succeeded", "superseded"}


@pytest.mark.asyncio
@pytest.mark.usefixtures("pushed")
async def test_past_its_deadline_a_rollout_fails_and_says_what_it_waited_for(deployer: httpx.AsyncClient) -> None:
    answer = await deploy(deployer, env={"SANDBOX_READY_AFTER": "never"}, progress_deadline="PT3S")
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (409, "deployment_failed"), answer.text
    assert problem["deployment"]["reason"]["code"] == "not_ready"


@pytest.mark.asyncio
@pytest.mark.usefixtures("pushed")
async def test_the_time_to_wait_can_be_up_and_the_work_goes_on(deployer: httpx.AsyncClient) -> None:
    answer = await deploy(deployer, wait="0.1", env={"SANDBOX_READY_AFTER": "never"})
    assert (answer.status_code, answer.json()["code"]) == (504, "wait_timeout")
    cancelled = await deployer.post(f"{answer.headers['location']}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    again = await deployer.post(f"{answer.headers['location']}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "deployment_over")


@pytest.mark.asyncio
@pytest.mark.usefixtures("pushed")
async def test_a_rollback_goes_to_the_success_before(deployer: httpx.AsyncClient) -> None:
    first, second = (await deploy(deployer)).json(), (await deploy(deployer, image="myapp:2")).json()
    answer = await deployer.post(f"/v1/deployments/{second['id']}/rollback", params={"wait": "30"}, json={})
    assert (answer.status_code, answer.json()["digest"]) == (200, first["digest"])
    none = await deployer.post(f"/v1/deployments/{first['id']}/rollback", json={})
    assert (none.status_code, none.json()["code"]) == (409, "nothing_to_roll_back_to")
    assert "myapp has no earlier deployment that succeeded" in none.json()["detail"]


@pytest.mark.asyncio
@pytest.mark.usefixtures("pushed")
async def test_delete_removes_what_is_ours(deployer: httpx.AsyncClient) -> None:
    made = (await deploy(deployer)).json()
    gone = await deployer.delete(f"/v1/deployments/{made['id']}", params={"wait": "30"})
    assert (gone.status_code, gone.json()["kind"]) == (200, "delete")
    [url] = made["urls"]
    async with httpx.AsyncClient(trust_env=False) as anybody:
        with pytest.raises(httpx.ConnectError):
            await anybody.get(url)


@pytest.mark.asyncio
@pytest.mark.usefixtures("pushed")
async def test_events_tell_the_whole_story_and_go_on_after_an_id(deployer: httpx.AsyncClient) -> None:
    made = (await deploy(deployer)).json()
    stream = (await deployer.get(f"/v1/deployments/{made['id']}/events")).text
    types = [line.removeprefix("event: ") for line in stream.splitlines() if line.startswith("event: ")]
    assert (types[:2], types[-1]) == (["accepted", "progressing"], "succeeded")
    rest = await deployer.get(f"/v1/deployments/{made['id']}/events", headers={"Last-Event-ID": "2"})
    assert rest.text == stream.partition("id: 2\n")[2].partition("\n\n")[2]


@pytest.mark.asyncio
@pytest.mark.usefixtures("pushed")
async def test_a_dry_run_says_what_would_change_and_changes_nothing(deployer: httpx.AsyncClient) -> None:
    made = (await deploy(deployer)).json()
    answer = await deployer.post("/v1/deployments", params={"dry_run": "true"}, json=BODY | {"image": "myapp:2"})
    assert answer.status_code == 200, answer.text
    [image_change] = [one for one in answer.json()["changes"] if one["path"].endswith(".image")]
    assert image_change["before"] == made["image_uri"]
    assert image_change["after"] == answer.json()["image_uri"]
    assert len((await deployer.get("/v1/deployments")).json()["items"]) == 1


@pytest.mark.asyncio
@pytest.mark.usefixtures("pushed")
async def test_a_repeat_with_the_same_key_is_the_same_deployment(deployer: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "once"}
    first, second = [await deployer.post("/v1/deployments", json=BODY, headers=headers) for _ in range(2)]
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.headers["location"] == second.headers["location"]
    assert second.headers["idempotency-replayed"] == "true"


@pytest.mark.asyncio
@pytest.mark.usefixtures("pushed")
async def test_a_deployer_of_one_namespace_knows_nothing_of_another(
    app: Any,  # noqa: ANN401 - an ASGI application
    connect: Connect,
    make_key: MakeKey,
    deployer: httpx.AsyncClient,
) -> None:
    made = (await deploy(deployer)).json()
    elsewhere = connect(app, await make_key("deployer", cluster="demo", namespace="team"))
    assert (await elsewhere.get(f"/v1/deployments/{made['id']}")).status_code == 404
    assert (await elsewhere.get("/v1/deployments")).json()["items"] == []
    refused = await deploy(elsewhere)
    assert (refused.status_code, refused.json()["code"]) == (404, "namespace_not_found")


@pytest.mark.asyncio
async def test_a_cluster_says_what_it_is(viewer: httpx.AsyncClient, aws: Sandbox) -> None:
    answer = (await viewer.get("/v1/clusters/demo")).json()
    assert (answer["reachable"], answer["status"], answer["version"]) == (True, "ACTIVE", "1.34"), json.dumps(answer)
    assert (answer["nodes"], answer["architectures"]) == (2, ["linux/amd64"])
    aws.fault("DescribeCluster", "error", times=10)
    away = (await viewer.get("/v1/clusters/demo")).json()
    assert (away["reachable"], away["problem"]) == (False, "aws_unavailable")


@pytest.mark.asyncio
@pytest.mark.usefixtures("pushed")
async def test_the_steps_of_rollouts_can_be_searched_for(deployer: httpx.AsyncClient) -> None:
    await deploy(deployer)
    found = await deployer.get("/v1/audit", params={"action": "cluster.apply_service"})
    assert [one["target"] for one in found.json()["items"]] == ["demo/default/myapp"]


@pytest.mark.asyncio
@pytest.mark.usefixtures("pushed")
async def test_a_step_at_work_when_its_deployment_ends_is_closed_in_the_trail(
    deployer: httpx.AsyncClient, aws: Sandbox
) -> None:
    step, made = await rollout_held(deployer, aws, "PATCH deployments", BODY)
    assert (await deployer.post(f"{made.headers['location']}/cancel")).status_code == 200
    step.drop()
    trail = (await deployer.get("/v1/audit")).json()["items"]
    assert [(one["action"], one["status"]) for one in trail] == [
        ("cluster.apply_deployment", "unknown"),
        ("deployment.cancel", "succeeded"),
        ("deployment.create", "succeeded"),
    ]
