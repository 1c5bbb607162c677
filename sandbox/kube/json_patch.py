"""JSON Patch (RFC 6902), with the API server's answers to one that cannot be done."""

import json
from typing import Any

import jsonpatch

from sandbox.kube.errors import StatusError, bad_request
from sandbox.kube.store import Object


def apply(base: Object, patch: bytes) -> Object:
    """:raises StatusError: 400, it is no patch; 422, an operation fails."""
    operations = _operations(patch)
    try:
        patched: Object = jsonpatch.apply_patch(base, operations)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError) as error:
        text = "the server rejected our request due to an error in our request"
        raise StatusError(422, "Invalid", text) from error
    return patched


def _operations(patch: bytes) -> list[Any]:
    try:
        operations = json.loads(patch)
    except ValueError as error:
        raise bad_request(f"error decoding patch: {error}") from error
    if not isinstance(operations, list) or not all(isinstance(one, dict) for one in operations):
        raise bad_request("error decoding patch: json: cannot unmarshal into Go value of type jsonpatch.Patch")
    return operations
