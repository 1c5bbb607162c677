"""Query parameters by a model that is chosen only once a request is there, as those of templates are."""

from collections.abc import Sequence

import pytest
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import Field

from api.http.query import parameters_of, read_query
from service.models.common import Model


class Kept(Model):
    count: int = Field(ge=1, description="How many are kept")
    tag: Sequence[str] = Field((), description="Of these tags alone; repeatable")


class Aged(Model):
    days: int = Field(ge=1, description="How old they may be")
    tag: Sequence[str] = Field((), description="Of these tags alone; repeatable")


def asked(query: str) -> Request:
    return Request({"type": "http", "query_string": query.encode(), "headers": []})


def test_numbers_and_lists_are_read_as_the_model_has_them() -> None:
    assert read_query(asked("count=3&tag=a&tag=b"), Kept) == Kept(count=3, tag=["a", "b"])
    assert read_query(asked("days=3"), Aged) == Aged(days=3)


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("", ("query", "count")),
        ("count=0", ("query", "count")),
        ("count=many", ("query", "count")),
        ("count=3&days=3", ("query", "days")),
    ],
)
def test_a_mistake_is_told_with_its_place(query: str, place: tuple[str, str]) -> None:
    with pytest.raises(RequestValidationError) as caught:
        read_query(asked(query), Kept)
    assert [one["loc"] for one in caught.value.errors()] == [place]


def test_the_contract_has_the_parameters_of_all_and_requires_what_all_require() -> None:
    described = {one["name"]: one for one in parameters_of([Kept, Aged])}
    assert {name: one["required"] for name, one in described.items()} == {"count": False, "tag": False, "days": False}
    assert described["count"]["schema"]["minimum"] == 1
    [count] = [one for one in parameters_of([Kept, Kept]) if one["name"] == "count"]
    assert (count["in"], count["required"], count["description"]) == ("query", True, "How many are kept")
