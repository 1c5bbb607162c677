"""Server-side apply: who owns which field, who may change it, and what a body must look like."""

from typing import Any

import pytest

from tests.sandbox.kube.api_server import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    SERVICES,
    Cluster,
    changed,
    config_map,
    deployment,
    service,
)

pytestmark = pytest.mark.asyncio

IMAGE = "spec.template.spec.containers.0.image"


def _managers(found: dict[str, Any]) -> dict[tuple[str, str, str | None], Any]:
    return {
        (one["manager"], one["operation"], one.get("subresource")): one["fieldsV1"]
        for one in found["metadata"]["managedFields"]
    }


async def test_an_applier_owns_what_it_states_and_no_default(cluster: Cluster) -> None:
    made = await cluster.apply(DEPLOYMENTS, deployment(replicas=2))
    again = await cluster.apply(DEPLOYMENTS, deployment(replicas=2))
    assert (made.status_code, again.status_code) == (201, 200)
    assert again.json() == made.json()
    assert made.json()["metadata"]["generation"] == 1
    assert _managers(made.json()) == {
        ("me", "Apply", None): {
            "f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:template": {
                    "f:metadata": {"f:labels": {"f:app": {}}},
                    "f:spec": {
                        "f:containers": {
                            'k:{"name":"c"}': {
                                ".": {},
                                "f:name": {},
                                "f:image": {},
                                "f:ports": {
                                    'k:{"containerPort":8080,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}
                                },
                            }
                        }
                    },
                },
            }
        }
    }


async def test_a_field_of_another_applier_is_a_conflict_that_names_it(cluster: Cluster) -> None:
    await cluster.apply(DEPLOYMENTS, deployment(), "one")
    other = changed(deployment(), IMAGE, "registry.test/app:2")
    refused = await cluster.apply(DEPLOYMENTS, other, "two")
    path = '.spec.template.spec.containers[name="c"].image'
    assert refused.status_code == 409
    assert refused.json()["reason"] == "Conflict"
    assert refused.json()["message"] == f'Apply failed with 1 conflict: conflict with "one": {path}'
    assert refused.json()["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": path}
    ]


async def test_several_conflicts_are_listed_by_manager(cluster: Cluster) -> None:
    await cluster.apply(DEPLOYMENTS, deployment(replicas=1), "one")
    await cluster.patch(f"{DEPLOYMENTS}/app", {"spec": {"replicas": 3}}, fieldManager="editor")
    other = changed(deployment(replicas=2), IMAGE, "registry.test/app:2")
    refused = await cluster.apply(DEPLOYMENTS, other, "two")
    assert refused.json()["message"] == (
        "Apply failed with 2 conflicts: "
        'conflicts with "editor" using apps/v1:\n- .spec.replicas\n'
        'conflicts with "one":\n- .spec.template.spec.containers[name="c"].image'
    )


async def test_force_takes_the_field_over(cluster: Cluster) -> None:
    await cluster.apply(DEPLOYMENTS, deployment(replicas=1), "one")
    taken = await cluster.apply(DEPLOYMENTS, deployment(replicas=2), "two", force="true")
    assert taken.status_code == 200
    assert taken.json()["spec"]["replicas"] == 2
    assert "f:replicas" not in _managers(taken.json())["one", "Apply", None]["f:spec"]
    refused = await cluster.apply(DEPLOYMENTS, deployment(replicas=1), "one")
    assert refused.status_code == 409


async def test_equal_values_are_owned_together_and_stay_until_the_last_lets_go(cluster: Cluster) -> None:
    await cluster.apply(CONFIG_MAPS, config_map(a="1", b="2"), "one")
    await cluster.apply(CONFIG_MAPS, config_map(a="1"), "two")
    kept = await cluster.apply(CONFIG_MAPS, config_map(b="2"), "one")
    assert kept.json()["data"] == {"a": "1", "b": "2"}
    gone = await cluster.apply(CONFIG_MAPS, config_map(), "two")
    assert gone.json()["data"] == {"b": "2"}
    assert _managers(gone.json()) == {
        ("one", "Apply", None): {"f:data": {"f:b": {}}},
        ("two", "Apply", None): {"f:data": {}},
    }


async def test_a_field_no_longer_stated_falls_back_to_its_default(cluster: Cluster) -> None:
    await cluster.apply(DEPLOYMENTS, deployment(replicas=3))
    dropped = await cluster.apply(DEPLOYMENTS, deployment())
    assert dropped.json()["spec"]["replicas"] == 1
    assert dropped.json()["metadata"]["generation"] == 2


async def test_replicas_that_are_not_stated_are_left_to_the_autoscaler(cluster: Cluster) -> None:
    await cluster.apply(DEPLOYMENTS, deployment())
    scaled = await cluster.patch(f"{DEPLOYMENTS}/app/scale", {"spec": {"replicas": 7}}, fieldManager="hpa")
    assert scaled.json()["spec"] == {"replicas": 7}
    applied = await cluster.apply(DEPLOYMENTS, changed(deployment(), IMAGE, "registry.test/app:2"))
    assert applied.json()["spec"]["replicas"] == 7
    assert _managers(applied.json())["hpa", "Update", "scale"] == {"f:spec": {"f:replicas": {}}}
    refused = await cluster.apply(DEPLOYMENTS, deployment(replicas=2))
    assert 'conflict with "hpa" with subresource "scale" using apps/v1' in refused.json()["message"]


async def test_items_of_a_list_are_joined_by_key_and_removed_by_their_owner(cluster: Cluster) -> None:
    environment = "spec.template.spec.containers.0.env"
    one = changed(deployment(), environment, [{"name": "A", "value": "1"}])
    two = changed(deployment(), environment, [{"name": "B", "value": "2"}])
    await cluster.apply(DEPLOYMENTS, one, "one")
    both = await cluster.apply(DEPLOYMENTS, two, "two")
    less = await cluster.apply(DEPLOYMENTS, deployment(), "one")

    def names(found: dict[str, Any]) -> list[str]:
        return [one["name"] for one in found["spec"]["template"]["spec"]["containers"][0]["env"]]

    assert names(both.json()) == ["A", "B"]
    assert names(less.json()) == ["B"]


async def test_a_dropped_probe_goes_with_the_defaults_in_it(cluster: Cluster) -> None:
    probe = {"httpGet": {"port": 8080}}
    probed = changed(deployment(), "spec.template.spec.containers.0.readinessProbe", probe)
    with_probe = await cluster.apply(DEPLOYMENTS, probed)
    shown = with_probe.json()["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]
    assert shown == {
        "httpGet": {"port": 8080, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    without = await cluster.apply(DEPLOYMENTS, deployment())
    assert "readinessProbe" not in without.json()["spec"]["template"]["spec"]["containers"][0]


async def test_an_update_takes_what_it_changes_from_the_applier(cluster: Cluster) -> None:
    made = await cluster.apply(SERVICES, service())
    edited = changed(made.json(), "spec.ports.0.targetPort", 9090)
    patched = await cluster.patch(f"{SERVICES}/app", edited, fieldManager="editor")
    fields = _managers(patched.json())["editor", "Update", None]
    assert fields == {"f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {"f:targetPort": {}}}}}


async def test_the_selector_is_owned_whole(cluster: Cluster) -> None:
    await cluster.apply(SERVICES, service(), "one")
    refused = await cluster.apply(SERVICES, changed(service(), "spec.selector", {"other": "x"}), "two")
    assert refused.json()["details"]["causes"][0]["field"] == ".spec.selector"


async def test_without_a_field_manager_it_is_422(cluster: Cluster) -> None:
    refused = await cluster.apply(DEPLOYMENTS, deployment(), "")
    assert refused.status_code == 422
    assert refused.json()["details"]["causes"] == [
        {
            "reason": "FieldValueRequired",
            "message": "Required value: is required for apply patch",
            "field": "fieldManager",
        }
    ]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("spec.nonsense", 1, ".spec.nonsense: field not declared in schema"),
        ("spec.replicas", "two", ".spec.replicas: expected numeric (int or float), got string"),
        (f"{IMAGE[:-5]}imige", "x", '.spec.template.spec.containers[name="c"].imige: field not declared in schema'),
        (
            "spec.template.spec.containers.0.resources",
            {"limits": {"cpu": "much"}},
            '.spec.template.spec.containers[name="c"].resources.limits.cpu: quantities must match',
        ),
        (
            "spec.template.spec.containers",
            [{"name": "c", "image": "a"}, {"name": "c", "image": "b"}],
            '.spec.template.spec.containers: duplicate entries for key [name="c"]',
        ),
    ],
)
async def test_a_body_of_another_shape_is_500_without_a_reason(
    cluster: Cluster, path: str, value: object, said: str
) -> None:
    refused = await cluster.apply(DEPLOYMENTS, changed(deployment(), path, value))
    assert refused.status_code == 500
    assert "reason" not in refused.json()
    about = "failed to create typed patch object (default/app; apps/v1, Kind=Deployment): "
    assert refused.json()["message"].startswith(about + said)
    assert (await cluster.http.get(f"{DEPLOYMENTS}/app")).status_code == 404


async def test_a_conflict_is_told_before_a_broken_rule(cluster: Cluster) -> None:
    await cluster.apply(DEPLOYMENTS, deployment(replicas=1), "one")
    wrong = deployment(replicas=-1)
    assert (await cluster.apply(DEPLOYMENTS, wrong, "two")).status_code == 409
    assert (await cluster.apply(DEPLOYMENTS, wrong, "two", force="true")).status_code == 422


async def test_a_stale_version_is_409_and_so_is_any_for_what_does_not_exist(cluster: Cluster) -> None:
    made = await cluster.apply(CONFIG_MAPS, config_map(a="1"))
    version = made.json()["metadata"]["resourceVersion"]
    current = changed(config_map(a="2"), "metadata.resourceVersion", version)
    assert (await cluster.apply(CONFIG_MAPS, current)).status_code == 200
    stale = await cluster.apply(CONFIG_MAPS, current)
    assert (stale.status_code, stale.json()["reason"]) == (409, "Conflict")
    absent = changed(config_map("other"), "metadata.resourceVersion", version)
    assert (await cluster.apply(CONFIG_MAPS, absent)).status_code == 409


async def test_a_dry_run_answers_what_would_be_and_changes_nothing(cluster: Cluster) -> None:
    made = await cluster.apply(DEPLOYMENTS, deployment(replicas=1))
    tried = await cluster.apply(DEPLOYMENTS, deployment(replicas=2), dryRun="All")
    assert tried.status_code == 200
    assert (tried.json()["metadata"]["generation"], tried.json()["spec"]["replicas"]) == (2, 2)
    assert (await cluster.http.get(f"{DEPLOYMENTS}/app")).json() == made.json()
    new = await cluster.apply(DEPLOYMENTS, deployment("new"), dryRun="All")
    assert new.status_code == 201
    assert (await cluster.http.get(f"{DEPLOYMENTS}/new")).status_code == 404
    assert cluster.calls.all()[1].parameters["dryRun"] == "All"


async def test_a_change_of_metadata_keeps_the_generation(cluster: Cluster) -> None:
    await cluster.apply(DEPLOYMENTS, deployment())
    labelled = await cluster.apply(DEPLOYMENTS, changed(deployment(), "metadata.labels", {"team": "a"}))
    assert labelled.json()["metadata"]["labels"] == {"team": "a"}
    assert labelled.json()["metadata"]["generation"] == 1


async def test_status_is_applied_through_its_own_path_only(cluster: Cluster) -> None:
    await cluster.apply(DEPLOYMENTS, deployment())
    body = {**deployment(), "status": {"replicas": 4}}
    assert "status" not in (await cluster.apply(DEPLOYMENTS, body)).json()
    only = {**deployment(replicas=9), "status": {"replicas": 4}}
    answer = await cluster.patch(f"{DEPLOYMENTS}/app/status", only, fieldManager="controller")
    assert (answer.json()["status"], answer.json()["spec"]["replicas"]) == ({"replicas": 4}, 1)
    assert _managers(answer.json())["controller", "Update", "status"] == {"f:status": {"f:replicas": {}}}


async def test_who_manages_a_field_can_be_written_and_what_they_do_not_state_goes(cluster: Cluster) -> None:
    made = deployment()
    (await cluster.http.post(DEPLOYMENTS, params={"fieldManager": "they"}, json=made)).raise_for_status()
    found = (await cluster.http.get(f"{DEPLOYMENTS}/app")).json()
    [theirs] = found["metadata"]["managedFields"]
    ours = theirs | {"manager": "me", "operation": "Apply"}
    metadata = {"managedFields": [ours], "resourceVersion": found["metadata"]["resourceVersion"]}
    taken = await cluster.patch(f"{DEPLOYMENTS}/app", {"metadata": metadata})
    assert taken.json()["metadata"]["managedFields"] == [ours]
    stale = await cluster.patch(f"{DEPLOYMENTS}/app", {"metadata": metadata})
    assert stale.status_code == 409
    other = changed(made, "spec.template.spec.containers.0.name", "other")
    applied = await cluster.apply(DEPLOYMENTS, other)
    assert [one["name"] for one in applied.json()["spec"]["template"]["spec"]["containers"]] == ["other"]
