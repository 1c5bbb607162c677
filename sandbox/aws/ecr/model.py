"""botocore's service models, read as a server reads them: every constraint is checked, unknown members are not."""

import base64
import binascii
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape

from sandbox.aws.ecr.errors import EcrError, invalid

_OVERLAY = Path(__file__).parents[3] / "service" / "clients" / "aws" / "models"
"""What AWS has beyond the botocore that is installed: facts, read as data. The service is not imported."""
TARGET = "AmazonEC2ContainerRegistry_V20150921"


@cache
def service(name: str = "ecr") -> ServiceModel:
    return ServiceModel(Loader(extra_search_paths=[str(_OVERLAY)]).load_service_model(name, "service-2"))


def checked(operation: str, given: object) -> dict[str, Any]:
    """The input of an operation after every constraint of the model: required members, types, sizes, patterns, enums.

    :raises EcrError: `InvalidParameterException` naming the first member that is wrong.
    """
    if operation not in service().operation_names:
        raise EcrError("UnknownOperationException", f"There is no operation {operation}.")
    shape = service().operation_model(operation).input_shape
    for mistake in mistakes(shape, given, ""):
        raise invalid(mistake)
    return _decoded(shape, given)


def mistakes(shape: Shape, value: Any, at: str) -> Iterator[str]:  # noqa: ANN401 - JSON
    """What of a value at a path breaks a constraint of its shape."""
    check = _CHECKS.get(shape.type_name)
    if check is not None:
        yield from check(shape, value, at)


def _structure(shape: Any, value: Any, at: str) -> Iterator[str]:  # noqa: ANN401 - as above
    if not isinstance(value, dict):
        yield f"Invalid parameter at '{at}' failed to satisfy constraint: 'must be a structure'"
        return
    for name in shape.required_members:
        if value.get(name) is None:
            yield f"Invalid parameter at '{_path(at, name)}' failed to satisfy constraint: 'must not be null'"
    for name, member in shape.members.items():
        if value.get(name) is not None:
            yield from mistakes(member, value[name], _path(at, name))


def _list(shape: Any, value: Any, at: str) -> Iterator[str]:  # noqa: ANN401 - as above
    if not isinstance(value, list):
        yield f"Invalid parameter at '{at}' failed to satisfy constraint: 'must be a list'"
        return
    yield from _bounds(shape, len(value), at, "length")
    for number, one in enumerate(value, 1):
        yield from mistakes(shape.member, one, f"{at}.{number}.member")


def _map(shape: Any, value: Any, at: str) -> Iterator[str]:  # noqa: ANN401 - as above
    if not isinstance(value, dict):
        yield f"Invalid parameter at '{at}' failed to satisfy constraint: 'must be a map'"
        return
    yield from _bounds(shape, len(value), at, "length")
    for name, one in value.items():
        yield from mistakes(shape.value, one, _path(at, name))


def _string(shape: Any, value: Any, at: str) -> Iterator[str]:  # noqa: ANN401 - as above
    if not isinstance(value, str):
        yield f"Invalid parameter at '{at}' failed to satisfy constraint: 'must be a string'"
        return
    yield from _bounds(shape, len(value), at, "length")
    pattern = shape.metadata.get("pattern")
    if pattern and not re.fullmatch(pattern, value):
        yield (
            f"Invalid parameter at '{at}' failed to satisfy constraint: 'must satisfy regular expression '{pattern}''"
        )
    if shape.enum and value not in shape.enum:
        yield f"Invalid parameter at '{at}' failed to satisfy constraint: 'must satisfy enum value set: {shape.enum}'"


def _number(shape: Any, value: Any, at: str) -> Iterator[str]:  # noqa: ANN401 - as above
    if not isinstance(value, int) or isinstance(value, bool):
        yield f"Invalid parameter at '{at}' failed to satisfy constraint: 'must be a number'"
        return
    yield from _bounds(shape, value, at, "value")


def _boolean(_: Any, value: Any, at: str) -> Iterator[str]:  # noqa: ANN401 - as above
    if not isinstance(value, bool):
        yield f"Invalid parameter at '{at}' failed to satisfy constraint: 'must be a boolean'"


def _blob(shape: Any, value: Any, at: str) -> Iterator[str]:  # noqa: ANN401 - as above
    try:
        content = base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        yield f"Invalid parameter at '{at}' failed to satisfy constraint: 'must be base64'"
        return
    yield from _bounds(shape, len(content), at, "length")


_CHECKS = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "integer": _number,
    "long": _number,
    "boolean": _boolean,
    "blob": _blob,
}


def _bounds(shape: Any, size: int, at: str, what: str) -> Iterator[str]:  # noqa: ANN401 - as above
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    constraint = f"Invalid parameter at '{at}' failed to satisfy constraint: 'Member must have {what}"
    if least is not None and size < least:
        yield f"{constraint} greater than or equal to {least}'"
    if most is not None and size > most:
        yield f"{constraint} less than or equal to {most}'"


def _path(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _decoded(shape: Any, given: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    members = {name: given[name] for name in shape.members if given.get(name) is not None}
    return {
        name: base64.b64decode(value) if shape.members[name].type_name == "blob" else value
        for name, value in members.items()
    }
