"""Bodies as callers send them: which are read, and what is said of those that are wrong."""

import gzip
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, Header, Response
from pydantic import BaseModel

from api.app import create
from api.http.answers import Http
from api.http.routing import DirectRoute
from api.http.wording import examples_of
from service.base.settings import Settings
from service.models.tokens import TokenRequest
from tests.api.test_problems import problem
from tests.marks import only_sqlite

JSON = b'{"name": "team/app"}'
WORKLOAD = {"cluster": "demo", "name": "app", "image": "team/app:1", "port": 8080}
PYTHON = ("dict", "tuple", "list", "frozenset", "float", "timedelta", "datetime", "none", "str ", "true or false,")


@only_sqlite
@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/repositories"),
        ("POST", "/v1/tokens"),
        ("PUT", "/v1/images/team/app:1"),
        ("PUT", "/v1/policies/repositories/team/app"),
    ],
)
@pytest.mark.parametrize(
    "given",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/a/b+json",
        "; charset=utf-8",
    ],
)
async def test_another_content_type_is_refused_by_its_header(
    bare_admin: httpx.AsyncClient, method: str, path: str, given: str
) -> None:
    answer = await bare_admin.request(method, path, content=JSON, headers={"Content-Type": given})
    [mistake] = problem(answer, 415, "unsupported_media_type")["errors"]
    assert mistake["path"] == "header.content-type"
    assert "application/json" in mistake["reason"]


@only_sqlite
@pytest.mark.asyncio
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "application/json"},
        {"Content-Type": "Application/JSON; charset=utf-8"},
        {"Content-Type": "application/merge-patch+json"},
        {"Content-Encoding": "identity"},
    ],
)
async def test_json_is_read_under_each_of_its_names_and_without_one(
    bare_admin: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    # Without a registry, a good body is refused for that alone.
    answer = await bare_admin.post("/v1/repositories", content=JSON, headers=headers)
    problem(answer, 404, "registry_not_found")


@only_sqlite
@pytest.mark.asyncio
async def test_a_compressed_body_is_refused_by_its_header(bare_admin: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await bare_admin.post("/v1/repositories", content=gzip.compress(JSON), headers=headers)
    [mistake] = problem(answer, 415, "unsupported_media_type")["errors"]
    assert mistake["path"] == "header.content-encoding"


@only_sqlite
@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"name": "\xff"}', "must be UTF-8"),
        (b'{"name": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "is nested too deeply"),
        (b'{"name": ' + b"1" * 5_000 + b"}", "has a number of too many digits"),
        (b'{"name": }', "is not JSON from character 9 on: Expecting value"),
    ],
    ids=["utf-8", "depth", "digits", "grammar"],
)
async def test_what_can_not_be_read_as_json_is_a_wrong_body(
    bare_admin: httpx.AsyncClient, body: bytes, reason: str
) -> None:
    answer = await bare_admin.post("/v1/repositories", content=body)
    assert problem(answer, 422, "invalid_body")["errors"] == [{"path": "body", "reason": reason}]


@only_sqlite
@pytest.mark.asyncio
async def test_a_field_named_by_half_a_character_is_refused(bare_admin: httpx.AsyncClient) -> None:
    answer = await bare_admin.post("/v1/repositories", content=b'{"name": "team/app", "tags": {"\\ud800": "1"}}')
    [mistake] = problem(answer, 422, "invalid_body")["errors"]
    assert mistake["reason"] == "must be a string of Unicode characters"


@only_sqlite
@pytest.mark.asyncio
async def test_a_body_of_nothing_but_mistakes_is_told_of_the_first(bare_admin: httpx.AsyncClient) -> None:
    answer = await bare_admin.post("/v1/repositories", json={f"x{number}": 1 for number in range(50_000)})
    assert len(problem(answer, 422, "invalid_body")["errors"]) == 100


@only_sqlite
@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/repositories", {"name": "team/app", "scan_on_push": "yes"}, "body.scan_on_push"),
        ("/v1/repositories", {"name": "team/app", "scan_on_push": 1}, "body.scan_on_push"),
        ("/v1/deployments", WORKLOAD | {"replicas": True}, "body.replicas"),
        ("/v1/deployments", WORKLOAD | {"replicas": "2"}, "body.replicas"),
        ("/v1/deployments", WORKLOAD | {"port": "8080"}, "body.port"),
        ("/v1/deployments", WORKLOAD | {"force": "true"}, "body.force"),
        ("/v1/deployments", WORKLOAD | {"progress_deadline": 300}, "body.progress_deadline"),
        ("/v1/keys", {"label": "ci", "bindings": [{"role": "viewer"}], "expires_at": 4e9}, "body.expires_at"),
    ],
)
async def test_a_value_of_another_type_is_refused(
    bare_admin: httpx.AsyncClient, path: str, body: dict[str, Any], field: str
) -> None:
    answer = await bare_admin.post(path, json=body)
    assert [one["path"] for one in problem(answer, 422, "invalid_body")["errors"]] == [field]


def _described() -> dict[str, Any]:
    return create(Settings.model_construct()).openapi()


def _taken(described: dict[str, Any]) -> set[str]:
    """The names of the schemas that a body may have, and of those within."""
    schemas, found = described["components"]["schemas"], set[str]()
    waiting = [
        operation["requestBody"] for path in described["paths"].values() for operation in path.values()
        if "requestBody" in operation
    ]  # fmt: skip
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if (name := str(one.get("$ref", "")).rpartition("/")[2]) and name not in found:
                found.add(name)
                waiting.append(schemas[name])
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return found


def _models() -> dict[str, type[BaseModel]]:
    found: dict[str, type[BaseModel]] = {}
    waiting: list[type[BaseModel]] = [BaseModel]
    while waiting:
        for one in waiting.pop().__subclasses__():
            found[one.__name__] = one
            waiting.append(one)
    return found


def test_no_field_of_a_body_takes_a_text_for_a_number_or_a_truth() -> None:
    described, models = _described(), _models()
    loose = []
    for name in _taken(described):
        for field, schema in described["components"]["schemas"][name].get("properties", {}).items():
            forms = [schema, *schema.get("anyOf", ())]
            kinds = {one.get("type") for one in forms} & {"boolean", "integer"}
            # A text that is refused for a bound alone would prove nothing.
            least = max(one.get("minimum", 1) for one in forms)
            for wrong in (str(least), "true") if kinds else ():
                mistakes = _mistakes(models[name], {field: wrong})
                loose += [] if (field,) in mistakes else [f"{name}.{field}: {wrong!r}"]
    assert not loose


def _mistakes(model: type[BaseModel], body: dict[str, Any]) -> set[tuple[int | str, ...]]:
    try:
        model.model_validate(body)
    except ValueError as error:
        return {one["loc"][:1] for one in error.errors()}  # type: ignore[attr-defined] # pydantic's
    return set()


@only_sqlite
@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/repositories", []),
        ("/v1/repositories", {"name": None, "tags": [], "scan_on_push": None, "encryption": 1}),
        ("/v1/tokens", {"repositories": {}, "actions": {}}),
        ("/v1/tokens", {"repositories": ["team/app"] * 101, "actions": []}),
        ("/v1/keys", {"label": 1, "bindings": {}, "expires_at": True}),
        ("/v1/keys", {"label": "ci", "bindings": [{"role": "viewer"}], "expires_at": "tomorrow"}),
        ("/v1/deployments", WORKLOAD | {"env": [], "progress_deadline": "soon", "replicas": 1.5}),
        ("/v1/deployments", WORKLOAD | {"resources": [], "probes": "x", "labels": {"a b": "c d"}}),
    ],
)
async def test_a_reason_is_in_the_words_of_json(bare_admin: httpx.AsyncClient, path: str, body: object) -> None:
    mistakes = problem(await bare_admin.post(path, json=body), 422, "invalid_body")["errors"]
    assert mistakes
    assert not [one for one in mistakes if any(word in one["reason"].lower() for word in PYTHON)]
    assert not [one for one in mistakes if "input should" in one["reason"].lower()]


@only_sqlite
@pytest.mark.asyncio
async def test_a_pattern_comes_with_an_example_of_what_fits(bare_admin: httpx.AsyncClient) -> None:
    answer = await bare_admin.post("/v1/repositories", json={"name": "Team/App"})
    [mistake] = problem(answer, 422, "invalid_body")["errors"]
    assert mistake["reason"].endswith(", like team/app")


@only_sqlite
@pytest.mark.asyncio
async def test_a_bound_is_written_as_people_write_numbers(bare_admin: httpx.AsyncClient) -> None:
    answer = await bare_admin.post("/v1/deployments", params={"wait": "3601"}, json=WORKLOAD)
    [mistake] = problem(answer, 400, "invalid_parameter")["errors"]
    assert mistake == {"path": "query.wait", "reason": "must be 3600 or less"}


def test_every_pattern_of_the_contract_has_an_example() -> None:
    described = _described()
    assert _patterns(described)
    assert _patterns(described) <= set(examples_of(described))


def _patterns(described: object) -> set[str]:
    if isinstance(described, list):
        return {pattern for one in described for pattern in _patterns(one)}
    if not isinstance(described, dict):
        return set()
    own = {described["pattern"]} if isinstance(described.get("pattern"), str) else set()
    return own | {pattern for one in described.values() for pattern in _patterns(one)}


_ODD = (
    b"",
    b"{",
    b"\xff",
    b"[]",
    b"null",
    b"{}",
    b'{"actions": ["pull"], "repositories": "team/app"}',
    b'{"actions": ["fly"], "repositories": ["team/app"]}',
    b'{"actions": [], "repositories": ["Team"]}',
    b'{"actions": ["pull"], "repositories": ["team/app"], "scope": "registry"}',
    b'{"actions": ["pull"], "repositories": ["team/app"], "min_seconds": true}',
    b'{"actions": ["pull"], "repositories": ["team/app"], "min_seconds": 900.0}',
    b'{"actions": ["pull"], "repositories": ["team/app"], "more": 1}',
    b'{"actions": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    '{"actions": ["pull"], "repositories": ["team/app"]}'.encode("utf-16"),
)


@only_sqlite
@pytest.mark.asyncio
@pytest.mark.parametrize("content", _ODD, ids=lambda content: content[:60].decode("latin-1"))
async def test_a_vend_without_parameters_is_read_as_one_with_them(
    bare_admin: httpx.AsyncClient, content: bytes
) -> None:
    bare = await bare_admin.post("/v1/tokens", content=content)
    named = await bare_admin.post("/v1/tokens?registry=local", content=content)
    assert {**bare.json(), "request_id": ""} == {**named.json(), "request_id": ""}
    assert bare.status_code in (400, 404, 422)


def test_a_route_past_the_framework_takes_a_body_alone_and_answers_itself() -> None:
    router = APIRouter(route_class=DirectRoute)

    async def guarded(body: TokenRequest, http: Http, _: Annotated[None, Depends(lambda: None)]) -> Response:
        raise NotImplementedError

    async def of_header(body: TokenRequest, http: Http, depth: Annotated[int, Header()] = 0) -> Response:
        raise NotImplementedError

    async def of_query(body: TokenRequest, http: Http, depth: int) -> Response:
        raise NotImplementedError

    async def answers_a_model(body: TokenRequest, http: Http) -> TokenRequest:
        raise NotImplementedError

    async def without_body(http: Http) -> Response:
        raise NotImplementedError

    for endpoint in (guarded, of_header, of_query, answers_a_model, without_body):
        with pytest.raises(TypeError, match="can't be a DirectRoute"):
            router.post("/")(endpoint)
