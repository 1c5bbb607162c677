"""Query parameters by a model that is chosen only once a request is there."""

from collections.abc import Iterable
from functools import cache
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)


def read_query(request: Request, model: type[M]) -> M:
    """What the query says.

    :raises RequestValidationError: it is not as `model` has it.
    """
    lists, query = _lists_of(model), request.query_params
    given = {name: query.getlist(name) if name in lists else query[name] for name in query}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        mistakes = [one | {"loc": ("query", *one["loc"])} for one in error.errors()]
        raise RequestValidationError(mistakes) from error


def parameters_of(models: Iterable[type[BaseModel]]) -> list[dict[str, Any]]:
    """What the contract says of a route whose query is as one of `models` has it: what all require is required."""
    schemas = [model.model_json_schema() for model in models]
    properties = {name: schema for one in schemas for name, schema in one["properties"].items()}
    return [
        {
            "name": name,
            "in": "query",
            "required": all(name in one.get("required", ()) for one in schemas),
            "schema": schema,
            "description": schema["description"],
        }
        for name, schema in properties.items()
    ]


@cache
def _lists_of(model: type[BaseModel]) -> frozenset[str]:
    """The parameters that may be repeated."""
    properties = model.model_json_schema()["properties"]
    return frozenset(name for name, schema in properties.items() if schema.get("type") == "array")
