"""The contract: `openapi.yaml` is what the service describes, and describes all of it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from api.app import create
from api.http import problem_codes
from api.http.openapi import to_yaml
from service.base.errors import Noun, WharfingerError
from service.base.settings import Settings
from tests.api.routes import routes

CONTRACT = Path(__file__).parents[2] / "openapi.yaml"
SOURCES = [path for folder in ("api", "service") for path in (CONTRACT.parent / folder).rglob("*.py")]
CODE = re.compile(r"[a-z]+(_[a-z]+)*")
REASONS = {"rollout_verdict.py"}
"""Where `code` is that of a deployment's reason."""
NEVER_ANSWERED = {"answer_lost", "stale_object", "watch_expired", "caller_gone"}
WITHOUT_A_KEY = {"/healthz", "/readyz", "/metrics"}


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return create(Settings.model_construct()).openapi()


def _operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_the_file_is_what_the_service_describes(described: dict[str, Any]) -> None:
    assert CONTRACT.is_file(), "there is no openapi.yaml: run `make openapi`"
    assert CONTRACT.read_text() == to_yaml(described), "openapi.yaml is not of this version: run `make openapi`"


def test_the_file_reads_back_as_it_was_written(described: dict[str, Any]) -> None:
    assert yaml.safe_load(to_yaml(described)) == described


def test_every_route_is_described(described: dict[str, Any]) -> None:
    names = {operation["operationId"] for _, _, operation in _operations(described)}
    assert names == {route.operation_id for route in routes()}


def test_every_operation_says_what_it_is_for(described: dict[str, Any]) -> None:
    assert not [path for path, _, operation in _operations(described) if not operation.get("summary")]


def test_every_error_is_a_problem(described: dict[str, Any]) -> None:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    wrong = [
        f"{method} {path} {status}"
        for path, method, operation in _operations(described)
        for status, answer in operation["responses"].items()
        if status >= "400" and answer.get("content") != problem
    ]
    assert not wrong


def test_every_operation_that_asks_for_a_key_says_so(described: dict[str, Any]) -> None:
    for path, _, operation in _operations(described):
        is_open = path in WITHOUT_A_KEY
        assert operation["security"] == ([] if is_open else [{"ApiKey": []}]), path
        assert ("401" not in operation["responses"]) is is_open, path


def test_every_change_can_be_repeated_safely(described: dict[str, Any]) -> None:
    changes = [operation for _, method, operation in _operations(described) if method != "get"]
    assert changes
    for operation in changes:
        headers = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "header"}
        assert "idempotency-key" in headers, operation["operationId"]


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    text = to_yaml(described)
    names = {line.rpartition("/")[2].strip("'\" ") for line in text.splitlines() if "#/components/schemas/" in line}
    assert names
    assert names <= set(described["components"]["schemas"])


def _raised() -> set[str]:
    """Each code that a source names: of a class, as an argument, in a variable of that name."""
    found = {f"{noun}_not_found" for noun in get_args(Noun)} | {
        f"deployment_{one}" for one in ("superseded", "cancelled")
    }
    waiting: list[type[WharfingerError]] = [WharfingerError]
    while waiting:
        below = waiting.pop().__subclasses__()
        found |= {one.code for one in below if hasattr(one, "code")}
        waiting += below
    for path in SOURCES:
        found |= set() if path.name in REASONS else _named(ast.parse(path.read_text()))
    return found


def _named(tree: ast.Module) -> set[str]:
    values: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", "")
            values += node.args[:1] if name == "_conflict" else ()
            values += [one.value for one in node.keywords if one.arg == "code" and name != "Reason"]
        elif isinstance(node, ast.Assign):
            values += [node.value for one in node.targets if getattr(one, "id", "") == "code"]
    plain = [value for value in values if not isinstance(value, ast.JoinedStr)]
    texts = [one.value for value in plain for one in ast.walk(value) if isinstance(one, ast.Constant)]
    return {text for text in texts if isinstance(text, str) and CODE.fullmatch(text)}


def test_every_code_is_in_the_contract(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    assert schemas["Problem"]["properties"]["code"] == {"$ref": "#/components/schemas/ProblemCode"}
    assert schemas["ProblemCode"]["enum"] == sorted(set(problem_codes.CODES))
    assert "repository_exists" in _raised()
    assert _raised() - NEVER_ANSWERED - {"code"} == set(problem_codes.CODES), "api/http/problem_codes.py has them all"


def test_every_tag_operation_and_parameter_is_told_of(described: dict[str, Any]) -> None:
    told = {tag["name"] for tag in described["tags"]}
    missing = {
        operation["operationId"]
        for _, _, operation in _operations(described)
        if not operation.get("description")
        or not told.issuperset(operation["tags"])
        or not all(parameter.get("description") for parameter in operation.get("parameters", ()))
    }
    assert not missing
    assert described["servers"] == [{"url": "/", "description": "Where this description is served"}]
    assert described["info"]["description"]
    assert [name for name, one in described["components"]["schemas"].items() if not one.get("description")] == []
    answers = [one for _, _, operation in _operations(described) for one in operation["responses"].values()]
    assert "Successful Response" not in {one["description"] for one in answers}


def test_streams_and_files_have_their_types(described: dict[str, Any]) -> None:
    events = described["paths"]["/v1/deployments/{deployment_id}/events"]["get"]["responses"]["200"]["content"]
    assert events["text/event-stream"]["schema"]["contentSchema"] == {"$ref": "#/components/schemas/DeploymentEvent"}
    vended = described["paths"]["/v1/tokens"]["post"]["responses"]["200"]["content"]
    file = vended["application/vnd.docker.config+json"]["schema"]
    assert file == {"$ref": "#/components/schemas/DockerConfig"}
    assert "number" in described["components"]["schemas"]["DeploymentEvent"]["properties"]


def test_no_schema_is_named_as_a_client_could_not_bear(described: dict[str, Any]) -> None:
    names = set(described["components"]["schemas"])
    assert {"DeploymentEvent", "PreflightCheck", "PolicyDocument", "ProblemCode"} <= names
    # Those that clients have been generated with stay.
    assert {"Action", "Check", "Entry", "Status", "Step"} <= names
