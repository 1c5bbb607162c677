"""Every route refuses a stranger, and is listed with what it asks of its caller."""

import re
from pathlib import Path

import httpx
import pytest

from service.access.actions import Action
from service.base.tables import OperationRow
from tests.api.routes import Route, routes
from tests.marks import only_sqlite

MATRIX = Path(__file__).with_name("route_matrix.txt")
ROUTES = routes()
WITHOUT_A_KEY = {"/healthz", "/readyz", "/metrics"}
PROTECTED = [route for route in ROUTES if route.path not in WITHOUT_A_KEY]


def _matrix() -> dict[str, list[str]]:
    """What each route asks for: actions of `access/authz.py`, or `key`: any caller, who is shown what is theirs."""
    lines = [line for line in MATRIX.read_text().splitlines() if line and not line.startswith("#")]
    return {" ".join(line.split()[:2]): line.split()[2:] for line in lines}


def test_the_routes_are_found() -> None:
    assert {"create_repository", "vend_token", "get_health"} <= {route.operation_id for route in ROUTES}


@only_sqlite
@pytest.mark.asyncio
@pytest.mark.parametrize("route", PROTECTED, ids=str)
async def test_a_route_refuses_a_caller_without_a_key(bare_client: httpx.AsyncClient, route: Route) -> None:
    answer = await bare_client.request(route.method, route.url)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


@only_sqlite
@pytest.mark.asyncio
@pytest.mark.parametrize("route", PROTECTED, ids=str)
async def test_a_stranger_does_not_learn_what_a_body_or_a_parameter_should_be(
    bare_client: httpx.AsyncClient, route: Route
) -> None:
    answer = await bare_client.request(route.method, route.url, json={"unknown": 1}, params={"unknown": "1"})
    assert answer.status_code == 401


def test_every_route_is_in_the_matrix_with_actions_that_exist() -> None:
    matrix = _matrix()
    assert set(matrix) == {str(route) for route in PROTECTED}, f"{MATRIX.name} lists the routes there are"
    asked = {action for actions in matrix.values() for action in actions}
    assert asked - {"key"} <= set(Action)


def test_every_action_is_asked_for_by_some_route() -> None:
    assert set(Action) <= {action for actions in _matrix().values() for action in actions}


def test_whoever_changes_something_needs_an_action_and_not_just_a_key() -> None:
    matrix = _matrix()
    changing = [str(route) for route in PROTECTED if route.method != "GET"]
    assert not [route for route in changing if "key" in matrix[route]]


def test_operation_ids_are_stable_names_and_each_is_used_once() -> None:
    names = [route.operation_id for route in ROUTES]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)+", name) for name in names)


def test_every_route_has_one_tag() -> None:
    assert not [str(route) for route in ROUTES if len(route.tags) != 1]


def test_an_action_fits_its_column() -> None:
    length = OperationRow.metadata.tables["operations"].c.action.type.length  # type: ignore[attr-defined]
    assert max(map(len, Action)) <= length
