"""What the API server refuses of a body: fields that do not exist, and every rule that a value breaks."""

from typing import Any

import pytest

from tests.sandbox.kube.api_server import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    PODS,
    SERVICES,
    Cluster,
    changed,
    deployment,
    pod,
    service,
)

pytestmark = pytest.mark.asyncio

TEMPLATE = "spec.template.spec"
CONTAINER = f"{TEMPLATE}.containers.0"
AT = f"{TEMPLATE}.containers[0]"
TWO_PORTS = [{"name": "a", "port": 80}, {"name": "b", "port": 81}]


def _causes(refused: Any) -> dict[str, str]:  # noqa: ANN401 - an answer
    assert refused.status_code == 422, refused.text
    assert refused.json()["reason"] == "Invalid"
    return {one["field"]: one["message"] for one in refused.json()["details"]["causes"]}


@pytest.mark.parametrize(
    ("path", "value", "field", "said"),
    [
        ("metadata.name", "Bad_Name", "metadata.name", 'Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain'),
        ("metadata.name", "a" * 254, "metadata.name", "must be no more than 253 bytes"),
        ("metadata.labels", {"a b": "x"}, "metadata.labels", 'Invalid value: "a b": name part must consist of'),
        ("metadata.labels", {"a": "x y"}, "metadata.labels", 'Invalid value: "x y": a valid label must be'),
        ("spec.replicas", -1, "spec.replicas", "Invalid value: -1: must be greater than or equal to 0"),
        ("spec.selector", None, "spec.selector", "Required value"),
        (
            "spec.selector",
            {"matchLabels": {"app": "other"}},
            "spec.template.metadata.labels",
            'Invalid value: {"app":"app"}: `selector` does not match template `labels`',
        ),
        ("spec.strategy", {"type": "Slow"}, "spec.strategy.type", 'Unsupported value: "Slow": supported values:'),
        (
            "spec.strategy",
            {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}},
            "spec.strategy.rollingUpdate.maxUnavailable",
            "Invalid value: 0: may not be 0 when `maxSurge` is 0",
        ),
        (
            "spec.strategy",
            {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "a few"}},
            "spec.strategy.rollingUpdate.maxSurge",
            'Invalid value: "a few": a valid percent string',
        ),
        (
            "spec.strategy",
            {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}},
            "spec.strategy.rollingUpdate",
            "Forbidden: may not be specified when strategy `type` is 'Recreate'",
        ),
        ("spec.progressDeadlineSeconds", 0, "spec.progressDeadlineSeconds", "must be greater than minReadySeconds"),
        (f"{TEMPLATE}.containers", [], f"{TEMPLATE}.containers", "Required value"),
        (f"{TEMPLATE}.restartPolicy", "Never", f"{TEMPLATE}.restartPolicy", 'Unsupported value: "Never"'),
        (f"{CONTAINER}.name", "C", f"{AT}.name", 'Invalid value: "C": a lowercase RFC 1123 label'),
        (f"{CONTAINER}.image", "", f"{AT}.image", "Required value"),
        (f"{CONTAINER}.image", " a", f"{AT}.image", "must not have leading or trailing whitespace"),
        (f"{CONTAINER}.imagePullPolicy", "Often", f"{AT}.imagePullPolicy", 'Unsupported value: "Often"'),
        (f"{CONTAINER}.ports.0.containerPort", 0, f"{AT}.ports[0].containerPort", "Required value"),
        (
            f"{CONTAINER}.ports.0.containerPort",
            65536,
            f"{AT}.ports[0].containerPort",
            "Invalid value: 65536: must be between 1 and 65535, inclusive",
        ),
        (f"{CONTAINER}.ports.0.name", "a_b", f"{AT}.ports[0].name", "must contain only alpha-numeric"),
        (f"{CONTAINER}.env", [{"name": "A=B"}], f"{AT}.env[0].name", 'Invalid value: "A=B": a valid environment'),
        (f"{CONTAINER}.env", [{"name": ""}], f"{AT}.env[0].name", "Required value"),
        (f"{CONTAINER}.env", [{"name": "A", "valueFrom": {}}], f"{AT}.env[0].valueFrom", "must specify one of"),
        (
            f"{CONTAINER}.resources",
            {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}},
            f"{AT}.resources.requests",
            'Invalid value: "2": must be less than or equal to cpu limit of 1',
        ),
        (f"{CONTAINER}.resources", {"limits": {"cpu": "-1"}}, f"{AT}.resources.limits[cpu]", "greater than or equal"),
        (
            f"{CONTAINER}.readinessProbe",
            {},
            f"{AT}.readinessProbe",
            "Required value: must specify a handler type",
        ),
        (
            f"{CONTAINER}.livenessProbe",
            {"tcpSocket": {"port": 80}, "successThreshold": 2},
            f"{AT}.livenessProbe.successThreshold",
            "Invalid value: 2: must be 1",
        ),
        (
            f"{CONTAINER}.livenessProbe",
            {"httpGet": {"port": 70000}},
            f"{AT}.livenessProbe.httpGet.port",
            "must be between 1 and 65535",
        ),
        (
            f"{CONTAINER}.volumeMounts",
            [{"name": "v", "mountPath": "/v"}],
            f"{AT}.volumeMounts[0].name",
            'Not found: "v"',
        ),
    ],
)
async def test_a_deployment_that_breaks_a_rule(
    cluster: Cluster, path: str, value: object, field: str, said: str
) -> None:
    refused = await cluster.http.post(DEPLOYMENTS, json=changed(deployment(), path, value))
    assert said in _causes(refused)[field]
    assert (await cluster.http.get(DEPLOYMENTS)).json()["items"] == []


@pytest.mark.parametrize(
    ("path", "value", "field", "said"),
    [
        ("metadata.name", "1app", "metadata.name", "a DNS-1035 label must consist of"),
        ("spec.ports", [], "spec.ports", "Required value"),
        ("spec.ports.0.port", 0, "spec.ports[0].port", "Invalid value: 0: must be between 1 and 65535, inclusive"),
        ("spec.ports.0.targetPort", 99999, "spec.ports[0].targetPort", "must be between 1 and 65535"),
        ("spec.ports", [{"port": 80}, {"port": 81}], "spec.ports[0].name", "Required value"),
        ("spec.ports", [*TWO_PORTS, TWO_PORTS[0]], "spec.ports[2].name", 'Duplicate value: "a"'),
        ("spec.type", "Public", "spec.type", 'Unsupported value: "Public": supported values: "ClusterIP"'),
        ("spec.ports.0.nodePort", 32000, "spec.ports[0].nodePort", "Forbidden: may not be used when `type` is"),
        ("spec.sessionAffinity", "Sticky", "spec.sessionAffinity", 'Unsupported value: "Sticky"'),
    ],
)
async def test_a_service_that_breaks_a_rule(cluster: Cluster, path: str, value: object, field: str, said: str) -> None:
    refused = await cluster.http.post(SERVICES, json=changed(service(), path, value))
    assert said in _causes(refused)[field]


@pytest.mark.parametrize("node_port", [29999, 32768, 80])
async def test_a_node_port_out_of_range(cluster: Cluster, node_port: int) -> None:
    sent = service(type="NodePort", port=[{"port": 80, "nodePort": node_port}])
    said = (
        f"Invalid value: {node_port}: provided port is not in the valid range. The range of valid ports is 30000-32767"
    )
    assert _causes(await cluster.apply(SERVICES, sent)) == {"spec.ports[0].nodePort": said}


async def test_a_node_port_that_is_taken(cluster: Cluster) -> None:
    port = [{"port": 80, "nodePort": 32410}]
    await cluster.apply(SERVICES, service("a", type="NodePort", port=port))
    refused = await cluster.apply(SERVICES, service("b", type="NodePort", port=port))
    assert _causes(refused) == {"spec.ports[0].nodePort": "Invalid value: 32410: provided port is already allocated"}
    assert refused.json()["message"] == (
        'Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 32410: provided port is already allocated'
    )


async def test_a_selector_cannot_be_changed(cluster: Cluster) -> None:
    await cluster.apply(DEPLOYMENTS, deployment())
    other = changed(deployment(), "spec.selector", {"matchLabels": {"app": "b"}})
    other = changed(other, "spec.template.metadata.labels", {"app": "b"})
    refused = await cluster.apply(DEPLOYMENTS, other)
    assert _causes(refused) == {"spec.selector": 'Invalid value: {"matchLabels":{"app":"b"}}: field is immutable'}


async def test_containers_of_one_name(cluster: Cluster) -> None:
    twice = [{"name": "c", "image": "a"}, {"name": "c", "image": "b"}]
    refused = await cluster.http.post(DEPLOYMENTS, json=changed(deployment(), f"{TEMPLATE}.containers", twice))
    assert _causes(refused) == {f"{TEMPLATE}.containers[1].name": 'Duplicate value: "c"'}


async def test_every_broken_rule_is_told_at_once(cluster: Cluster) -> None:
    wrong = changed(deployment(replicas=-1), f"{CONTAINER}.image", "")
    refused = await cluster.http.post(DEPLOYMENTS, json=wrong)
    assert set(_causes(refused)) == {"spec.replicas", f"{AT}.image"}
    assert refused.json()["message"].startswith('Deployment.apps "app" is invalid: [spec.replicas: Invalid value: -1')
    assert refused.json()["details"]["kind"] == "Deployment"


async def test_a_pod_changes_in_its_images_only(cluster: Cluster) -> None:
    await cluster.http.post(PODS, json=pod())
    image = {"spec": {"containers": [{"name": "c", "image": "registry.test/app:2"}]}}
    assert (await cluster.patch(f"{PODS}/one", image, "strategic-merge")).status_code == 200
    refused = await cluster.patch(f"{PODS}/one", {"spec": {"restartPolicy": "Never"}})
    assert "pod updates may not change fields other than" in _causes(refused)["spec"]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("metadata.name", "other", "the name of the object (other) does not match the name on the URL (app)"),
        (
            "metadata.namespace",
            "other",
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        ("kind", "Pod", 'Pod in version "v1" cannot be handled as a Deployment'),
        ("apiVersion", "v1", "the API version in the data (v1) does not match the expected API version (apps/v1)"),
    ],
)
async def test_a_body_that_is_not_of_its_path(cluster: Cluster, path: str, value: str, said: str) -> None:
    await cluster.apply(DEPLOYMENTS, deployment())
    refused = await cluster.patch(f"{DEPLOYMENTS}/app", changed(deployment(), path, value))
    assert (refused.status_code, refused.json()["reason"], refused.json()["message"]) == (400, "BadRequest", said)


async def test_an_unknown_field_is_dropped_with_a_warning_or_refused(cluster: Cluster) -> None:
    wrong = changed(deployment(), f"{CONTAINER}.imige", "x")
    place = f"{AT}.imige"
    strict = await cluster.http.post(DEPLOYMENTS, json=wrong, params={"fieldValidation": "Strict"})
    assert (strict.status_code, strict.json()["reason"]) == (400, "BadRequest")
    assert strict.json()["message"] == f'strict decoding error: unknown field "{place}"'
    warned = await cluster.http.post(DEPLOYMENTS, json=wrong)
    assert warned.status_code == 201
    assert warned.headers["warning"] == f'299 - "unknown field \\"{place}\\""'
    assert "imige" not in warned.json()["spec"]["template"]["spec"]["containers"][0]
    silent = await cluster.patch(f"{DEPLOYMENTS}/app", wrong, fieldValidation="Ignore")
    assert (silent.status_code, "warning" in silent.headers) == (200, False)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("spec.replicas", "two", "spec.replicas"),
        ("spec.template.spec.containers", "c", "spec.template.spec.containers"),
        (f"{CONTAINER}.resources", {"limits": {"memory": "10Mb"}}, "quantities must match the regular expression"),
        (f"{CONTAINER}.resources", {"limits": {"memory": "1.2.3"}}, "quantities must match the regular expression"),
        ("spec.paused", "yes", "spec.paused"),
    ],
)
async def test_a_value_of_the_wrong_type(cluster: Cluster, path: str, value: object, said: str) -> None:
    refused = await cluster.http.post(DEPLOYMENTS, json=changed(deployment(), path, value))
    assert refused.status_code == 400
    assert said in refused.json()["message"]


@pytest.mark.parametrize("body", ["{", "[]", "not json"])
async def test_a_body_that_is_no_object(cluster: Cluster, body: str) -> None:
    refused = await cluster.http.post(CONFIG_MAPS, content=body, headers={"Content-Type": "application/json"})
    assert refused.status_code == 400


@pytest.mark.parametrize("query", [{"dryRun": "Some"}, {"fieldValidation": "Maybe"}])
async def test_an_option_of_no_such_value(cluster: Cluster, query: dict[str, str]) -> None:
    refused = await cluster.http.post(DEPLOYMENTS, json=deployment(), params=query)
    assert list(_causes(refused)) == list(query)
