"""JSON Patch (RFC 6902)."""

import copy
import json
from typing import Any

from sandbox.kube.errors import StatusError, bad_request
from sandbox.kube.store import Object


def apply(base: Object, patch: bytes) -> Object:
    """:raises StatusError: 400, it is no patch; 422, an operation fails."""
    patched = copy.deepcopy(base)
    for one in _operations(patch):
        try:
            _operate(patched, one)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            text = "the server rejected our request due to an error in our request"
            raise StatusError(422, "Invalid", text) from error
    return patched


def _operations(patch: bytes) -> list[Any]:
    try:
        operations = json.loads(patch)
    except ValueError as error:
        raise bad_request(f"error decoding patch: {error}") from error
    if not isinstance(operations, list):
        raise bad_request("error decoding patch: json: cannot unmarshal into Go value of type jsonpatch.Patch")
    return operations


def _operate(whole: Object, one: Object) -> None:
    operation, path = one["op"], _parts(one["path"])
    if operation == "remove":
        _take(whole, path)
    elif operation in ("add", "replace"):
        _put(whole, path, one["value"], is_new=operation == "add")
    elif operation in ("copy", "move"):
        source = _parts(one["from"])
        value = copy.deepcopy(_at(whole, source)) if operation == "copy" else _take(whole, source)
        _put(whole, path, value, is_new=True)
    elif operation != "test" or _at(whole, path) != one["value"]:
        raise ValueError(operation)


def _parts(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _at(whole: Any, path: list[str]) -> Any:  # noqa: ANN401 - any JSON
    for part in path:
        whole = whole[int(part)] if isinstance(whole, list) else whole[part]
    return whole


def _take(whole: Any, path: list[str]) -> Any:  # noqa: ANN401 - any JSON
    holder = _at(whole, path[:-1])
    return holder.pop(int(path[-1]) if isinstance(holder, list) else path[-1])


def _put(whole: Any, path: list[str], value: Any, *, is_new: bool) -> None:  # noqa: ANN401 - any JSON
    holder, last = _at(whole, path[:-1]), path[-1]
    if isinstance(holder, list) and is_new:
        holder.insert(len(holder) if last == "-" else int(last), value)
    elif isinstance(holder, list):
        holder[int(last)] = value
    elif is_new or last in holder:
        holder[last] = value
    else:
        raise KeyError(last)
