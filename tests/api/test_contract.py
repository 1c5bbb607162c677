"""The contract: `openapi.yaml` is what the service describes, and describes all of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.app import create
from api.openapi import to_yaml
from service.settings import Settings
from tests.api.routes import routes

CONTRACT = Path(__file__).parents[2] / "openapi.yaml"
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
        assert ("security" not in operation) is is_open, path
        assert ("401" not in operation["responses"]) is is_open, path


def test_every_change_can_be_repeated_safely(described: dict[str, Any]) -> None:
    changes = [operation for _, method, operation in _operations(described) if method != "get"]
    for operation in changes:
        headers = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "header"}
        assert "idempotency-key" in headers, operation["operationId"]


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    text = to_yaml(described)
    names = {line.rpartition("/")[2].strip("'\" ") for line in text.splitlines() if "#/components/schemas/" in line}
    assert names <= set(described["components"]["schemas"])
