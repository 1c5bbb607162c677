"""The contract: `openapi.yaml` is this description, written out; a test compares the two."""

from typing import Any

import yaml
from fastapi import FastAPI

from api.http.deps import KEY_HEADER, KEY_PATTERN, MATCH_HEADER
from api.http.problem_codes import CODES
from api.http.problems import Problem, declare
from service.base.errors import UnsupportedMediaTypeError
from service.models.deployments import DeploymentEvent
from service.models.documents import DocumentDryRun
from service.models.jobs import JobEvent
from service.models.tokens import DockerConfig

_SCHEMAS = "#/components/schemas/"
_TAGS = {
    "registries": "The registries of the settings: an account in a Region each",
    "repositories": "Repositories: tag mutability, scan on push, encryption, resource tags",
    "images": "Images by tag or digest: layers, size, platforms; tags that move",
    "policies": "Repository policies: who else may pull and push; templates for them",
    "tokens": "Docker credentials, no wider than asked",
    "clusters": "Clusters: whether they answer, and whether they could run an image",
    "deployments": "Deployments of images by digest: followed, rolled back, removed",
    "jobs": "Long work of every kind: followed, ended, done again",
    "keys": "API keys: who may call, and do what",
    "audit": "What was done, by whom, and what came of it",
    "operations": "Liveness, readiness and metrics",
}

_KEY = {
    "name": KEY_HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": KEY_PATTERN, "examples": ["build-17"]},
    "description": "Makes a repeat safe: the same key and request are answered from the record",
}
_MATCH = {
    "name": MATCH_HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "Change only if the resource still has this ETag",
}
_KNOWN = {
    "name": "if-none-match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "Answer 304, without content, where the resource still has this ETag",
}


_INFO = (
    "Repositories, policies, docker credentials and deploys, in front of Amazon ECR and EKS. Errors are RFC 9457 "
    "problem details with a stable `code`. Lists page by `next_cursor`. Each change takes an `Idempotency-Key`, which "
    "makes a repeat safe."
)
_SERVERS = [{"url": "/", "description": "Where this description is served"}]
_BESIDE = (Problem, DeploymentEvent, JobEvent, DockerConfig, DocumentDryRun)
"""What no route answers as FastAPI knows it: an error, an event of a stream, a file for docker, a dry run."""
_ANSWERS = {
    "200": "What was asked for",
    "201": "What was made",
    "202": "Accepted; `Location` says where to look",
    "204": "Done; there is nothing to tell",
}
_FORMER_NAMES = {"Check": "PreflightCheck"}
"""Names that clients may know, each with the one that it has now."""


def describe(app: FastAPI) -> None:
    """Complete what FastAPI generates by what is the same for all routes; tags are in the order of the story."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            document["info"]["description"] = _INFO
            document["servers"] = _SERVERS
            _complete_schemas(document.setdefault("components", {}).setdefault("schemas", {}))
            _tell_answers(document)
            _declare_keys(document)
            _declare_headers(document)
            _declare_media_types(document)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI documents this as the way to extend the schema
    app.openapi_tags = [{"name": name, "description": text} for name, text in _TAGS.items()]


def to_yaml(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _tell_answers(document: dict[str, Any]) -> None:
    """In words of ours, where a route has none."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if answer["description"] == "Successful Response":
                    answer["description"] = _ANSWERS[status]


def _declare_keys(document: dict[str, Any]) -> None:
    """Every path under `/v1/` takes an API key; said here, as FastAPI's own way costs a dependency per request."""
    scheme = {"type": "http", "scheme": "bearer", "description": "An API key: `whf_…`"}
    document["components"]["securitySchemes"] = {"ApiKey": scheme}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["security"] = [{"ApiKey": []}] if path.startswith("/v1/") else []


def _declare_headers(document: dict[str, Any]) -> None:
    """Every change takes an Idempotency-Key, one of what is there already an If-Match, a read an If-None-Match."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items() if path.startswith("/v1/") else ():
            if method != "get":
                taken = [_KEY, _MATCH] if method in ("put", "patch", "delete") else [_KEY]
            else:
                taken = [_KNOWN] if "304" in operation["responses"] else []
            operation.setdefault("parameters", []).extend(taken)


def _declare_media_types(document: dict[str, Any]) -> None:
    """`api.http.bodies` refuses a body that is not JSON, whatever the route."""
    for operations in document["paths"].values():
        for operation in operations.values():
            if "requestBody" in operation:
                refused = declare(UnsupportedMediaTypeError)
                operation["responses"] |= {str(status): answer for status, answer in refused.items()}


def _complete_schemas(schemas: dict[str, Any]) -> None:
    for model in _BESIDE:
        described = model.model_json_schema(ref_template=_SCHEMAS + "{model}", mode="serialization")
        schemas |= described.pop("$defs", {}) | {model.__name__: described}
    schemas["ProblemCode"] = {"type": "string", "enum": list(CODES), "description": "What went wrong, for programs"}
    schemas["Problem"]["properties"]["code"] = {"$ref": _SCHEMAS + "ProblemCode"}
    for former, name in _FORMER_NAMES.items():
        # Whole, as generators make no class of a mere reference.
        schemas[former] = schemas[name] | {"title": former, "description": f"The former name of {name}"}
    # FastAPI declares its own 422 body, which this service never answers.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
