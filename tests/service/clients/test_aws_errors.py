"""The table of AWS's error codes: complete for every call that is made, and each code told as ours."""

import ast
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.loaders import Loader

from service import clients
from service.base.errors import (
    AwsPermissionError,
    AwsRefusal,
    AwsRejectedError,
    AwsThrottledError,
    AwsUnavailableError,
    ConflictError,
    InvalidError,
    NotFoundError,
    WharfingerError,
)
from service.clients.aws.errors import ERRORS, from_client_error, from_code
from service.clients.aws.models import OVERLAY

SOURCES = sorted(Path(clients.__path__[0]).rglob("*.py"))
SUBJECT = {"repository": "team/app", "image": "team/app:1"}
OURS = {
    "aws_credentials": {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    },
    "aws_permission_missing": {"AccessDenied", "AccessDeniedException"},
    "aws_refused_value": {
        "InvalidParameterException",
        "InvalidTagParameterException",
        "PackedPolicyTooLarge",
        "TooManyTagsException",
        "ValidationException",
    },
    "aws_throttled": {"UpstreamTooManyRequests"},
    "aws_unavailable": {
        "InternalFailure",
        "ServerException",
        "ServiceFailure",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "UnableToGetUpstreamImageException",
        "UnableToGetUpstreamLayerException",
        "UpstreamUnavailable",
    },
    "cluster_not_found": {"ResourceNotFoundException"},
    "image_archived": {"ImageInaccessible"},
    "image_exists": {"ImageAlreadyExistsException"},
    "image_not_found": {"ImageNotFound", "ImageNotFoundException"},
    "image_referenced": {"ImageReferencedByManifestList"},
    "image_tag_immutable": {"ImageTagAlreadyExistsException"},
    "image_tag_moved": {"ImageTagDoesNotMatchDigest"},
    "images_missing": {"ReferencedImagesNotFoundException"},
    "kms_refused": {"KmsError", "KmsException"},
    "layers_missing": {"LayersNotFoundException"},
    "policy_not_found": {"RepositoryPolicyNotFoundException"},
    "quota_exceeded": {"LimitExceededException"},
    "repository_exists": {"RepositoryAlreadyExistsException"},
    "repository_not_empty": {"RepositoryNotEmptyException"},
    "repository_not_found": {"RepositoryNotFoundException"},
    "upstream_refused": {"UpstreamAccessDenied"},
}
"""AWS's codes by ours; any other is one that a caller can do nothing about (`aws_rejected`)."""


def _operations() -> dict[str, list[str]]:
    """The error codes of each operation of ECR, STS, EKS and IAM, by the name of its method."""
    found: dict[str, list[str]] = {}
    loader = Loader(extra_search_paths=[str(OVERLAY)])
    for service in ("ecr", "sts", "eks", "iam", "cloudtrail"):
        model = loader.load_service_model(service, "service-2")
        for name, operation in model["operations"].items():
            shapes = [error["shape"] for error in operation.get("errors", ())]
            # ECR first: of the names that services share, we call ECR's.
            found.setdefault(xform_name(name), [_code(model["shapes"][shape], shape) for shape in shapes])
    return found


def _code(shape: dict[str, Any], name: str) -> str:
    return str(shape.get("error", {}).get("code", name))


def _called() -> set[str]:
    """The methods of AWS's clients that `service/clients` calls."""
    nodes = (node for path in SOURCES for node in ast.walk(ast.parse(path.read_text())))
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return attributes & set(_operations())


def test_the_calls_are_found() -> None:
    assert {"create_repository", "describe_repositories", "assume_role", "get_authorization_token"} <= _called()


@pytest.mark.parametrize("method", sorted(_called()))
def test_every_error_that_an_operation_declares_is_in_the_table(method: str) -> None:
    assert set(_operations()[method]) <= set(ERRORS)


def test_each_code_becomes_the_one_of_ours_that_was_agreed() -> None:
    codes = {code: from_code(AwsRefusal(code, None), 400, SUBJECT, "ecr:DoSomething").code for code in ERRORS}
    agreed = {code: ours for ours, group in OURS.items() for code in group}
    assert codes == dict.fromkeys(codes, "aws_rejected") | agreed


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_every_entry_makes_an_error_that_names_what_was_asked_about(code: str) -> None:
    error = from_code(AwsRefusal(code, "request-1"), 400, SUBJECT, "ecr:DoSomething")
    assert isinstance(error, WharfingerError)
    assert error.aws == AwsRefusal(code, "request-1")
    assert "{" not in error.detail
    assert "?" not in error.detail


@pytest.mark.parametrize(
    ("code", "status", "kind", "ours"),
    [
        ("RepositoryAlreadyExistsException", 400, ConflictError, "repository_exists"),
        ("RepositoryNotFoundException", 400, NotFoundError, "repository_not_found"),
        ("ImageNotFoundException", 400, NotFoundError, "image_not_found"),
        ("RepositoryPolicyNotFoundException", 400, NotFoundError, "policy_not_found"),
        ("InvalidParameterException", 400, InvalidError, "aws_refused_value"),
        ("AccessDeniedException", 400, AwsPermissionError, "aws_permission_missing"),
        ("AccessDenied", 403, AwsPermissionError, "aws_permission_missing"),
        ("ExpiredTokenException", 400, AwsPermissionError, "aws_credentials"),
        ("ThrottlingException", 400, AwsThrottledError, "aws_throttled"),
        ("Throttling", 400, AwsThrottledError, "aws_throttled"),
        ("TooManyRequestsException", 400, AwsThrottledError, "aws_throttled"),
        ("Anything", 429, AwsThrottledError, "aws_throttled"),
        ("ServerException", 500, AwsUnavailableError, "aws_unavailable"),
        ("NeverSeenBefore", 503, AwsUnavailableError, "aws_unavailable"),
        ("NeverSeenBefore", 400, AwsRejectedError, "aws_rejected"),
    ],
)
def test_a_code_becomes_what_a_caller_can_act_on(
    code: str, status: int, kind: type[WharfingerError], ours: str
) -> None:
    error = from_code(AwsRefusal(code, None), status, SUBJECT, "ecr:DoSomething")
    assert (type(error), error.code) == (kind, ours)


@pytest.mark.parametrize("code", ["ThrottlingException", "ServerException"])
def test_what_may_pass_says_when_to_ask_again(code: str) -> None:
    error = from_code(AwsRefusal(code, None), 500, {}, "ecr:DoSomething")
    assert (error.retryable, error.retry_after) == (True, 5)


@pytest.mark.parametrize(
    ("operation", "action"),
    [("PutImage", "ecr:PutImage"), ("AssumeRole", "sts:AssumeRole"), ("GetRolePolicy", "iam:GetRolePolicy")],
)
def test_a_missing_permission_is_named_as_iam_names_it(operation: str, action: str) -> None:
    refusal = ClientError({"Error": {"Code": "AccessDenied", "Message": "arn:aws:iam::1:role/x"}}, operation)
    error = from_client_error(refusal, {})
    assert action in error.detail
    assert "arn:aws" not in error.detail


def test_an_answer_without_a_code_is_still_an_error_of_ours() -> None:
    error = from_client_error(ClientError({}, "PutImage"), SUBJECT)
    assert (type(error), error.aws) == (AwsRejectedError, AwsRefusal("Unknown", None))
