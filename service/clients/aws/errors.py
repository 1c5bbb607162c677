"""One table from AWS's error codes to ours, exhaustive for the operations we call (a test reads botocore's model).

AWS's wording goes to the log only: it names roles, accounts and internals that a caller need not know.
"""

from collections.abc import Callable, Mapping

import structlog
from botocore.exceptions import ClientError

from service.base.errors import (
    AwsPermissionError,
    AwsRefusal,
    AwsRejectedError,
    AwsThrottledError,
    AwsUnavailableError,
    ConflictError,
    InvalidError,
    NotFoundError,
    Noun,
    WharfingerError,
)

Subject = Mapping[str, str]
"""What was asked about, for the text: `repository`, `image`, `role`, `policy` (of IAM), `cluster`."""
_Make = Callable[[AwsRefusal, Subject, str], WharfingerError]

_RETRY_AFTER = 5
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500

log = structlog.get_logger()


def _missing(noun: Noun) -> _Make:
    return lambda aws, subject, _: NotFoundError(noun, subject.get(noun) or subject.get("repository", "?"), aws=aws)


def _conflict(code: str, detail: str) -> _Make:
    return lambda aws, subject, _: ConflictError(detail.format_map(_Lenient(subject)), code=code, aws=aws)


def _invalid(detail: str) -> _Make:
    return lambda aws, subject, _: InvalidError(detail.format_map(_Lenient(subject)), code="aws_refused_value", aws=aws)


def _rejected(aws: AwsRefusal, _: Subject, action: str) -> WharfingerError:
    return AwsRejectedError(f"AWS refused {action} with {aws.code}.", aws=aws)


def _denied(aws: AwsRefusal, subject: Subject, action: str) -> WharfingerError:
    on = next((subject[one] for one in ("role", "policy", "repository", "cluster") if one in subject), None)
    return AwsPermissionError(f"Wharfinger's role lacks {action}{f' on {on}' if on else ''}: grant it.", aws=aws)


def _credentials(aws: AwsRefusal, _: Subject, action: str) -> WharfingerError:
    return AwsPermissionError(
        f"AWS did not accept wharfinger's own credentials for {action}.", code="aws_credentials", aws=aws
    )


def _unavailable(aws: AwsRefusal, _: Subject, action: str) -> WharfingerError:
    return AwsUnavailableError(f"AWS failed at {action}.", retry_after=_RETRY_AFTER, aws=aws)


def _throttled(aws: AwsRefusal, _: Subject, action: str) -> WharfingerError:
    return AwsThrottledError(f"AWS is throttling {action}.", retry_after=_RETRY_AFTER, aws=aws)


class _Lenient(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return key


ERRORS: dict[str, _Make] = {
    # https://docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html and each operation's own list
    "AccessDenied": _denied,
    "AccessDeniedException": _denied,
    "ExpiredToken": _credentials,
    "ExpiredTokenException": _credentials,
    "IncompleteSignature": _credentials,
    "InvalidClientTokenId": _credentials,
    "InvalidSignatureException": _credentials,
    "MissingAuthenticationToken": _credentials,
    "SignatureDoesNotMatch": _credentials,
    "UnrecognizedClientException": _credentials,
    "ServerException": _unavailable,
    "InternalFailure": _unavailable,
    "ServiceUnavailable": _unavailable,
    "RequestExpired": _rejected,
    "RegionDisabledException": _rejected,
    "UnsupportedCommandException": _rejected,
    "InvalidParameterException": _invalid("AWS refused a value of this request."),
    "ValidationException": _invalid("AWS refused a value of this request."),
    "ValidationError": _rejected,
    "InvalidTagParameterException": _invalid("AWS refused a resource tag."),
    "TooManyTagsException": _invalid("A repository has at most 50 resource tags."),
    "MalformedPolicyDocument": _rejected,
    "PackedPolicyTooLarge": _invalid("These repositories do not fit in one credential: ask for fewer."),
    "RepositoryAlreadyExistsException": _conflict("repository_exists", "Repository {repository} exists already."),
    "RepositoryNotEmptyException": _conflict(
        "repository_not_empty", "Repository {repository} has images: delete them, or use force=true."
    ),
    "LimitExceededException": _conflict("quota_exceeded", "An AWS quota of this account is used up."),
    "KmsException": _conflict("kms_refused", "KMS refused the key of {repository}."),
    "ImageTagAlreadyExistsException": _conflict(
        "image_tag_immutable", "The tag of {image} is immutable and stands for another image."
    ),
    "ImageAlreadyExistsException": _conflict("image_exists", "{image} is already this image."),
    "ImageReferencedByManifestList": _conflict("image_referenced", "{image} is part of an index: delete that first."),
    "ImageTagDoesNotMatchDigest": _conflict("image_tag_moved", "The tag of {image} stands for another digest by now."),
    "UpstreamAccessDenied": _conflict("upstream_refused", "The upstream registry refused {image}."),
    "UpstreamTooManyRequests": _throttled,
    "UpstreamUnavailable": _unavailable,
    "UnableToGetUpstreamImageException": _unavailable,
    "UnableToGetUpstreamLayerException": _unavailable,
    "ImageInaccessible": _conflict(
        "image_archived", "{image} is archived: restore it first, which takes up to twenty minutes."
    ),
    "PullThroughCacheRuleNotFoundException": _rejected,
    "ImageDigestDoesNotMatchException": _rejected,
    "InvalidImageDigest": _rejected,
    "InvalidImageTag": _rejected,
    "MissingDigestAndTag": _rejected,
    "KmsError": _conflict("kms_refused", "KMS refused the key of {repository}."),
    "LayersNotFoundException": _conflict("layers_missing", "{repository} lacks layers of this image: push it there."),
    "LayerInaccessibleException": _rejected,
    "ReferencedImagesNotFoundException": _conflict(
        "images_missing", "{repository} lacks images that this index lists: put those there first."
    ),
    "ImageNotFoundException": _missing("image"),
    "ImageNotFound": _missing("image"),
    "RepositoryNotFoundException": _missing("repository"),
    "RepositoryPolicyNotFoundException": _missing("policy"),
    "ResourceNotFoundException": _missing("cluster"),
    "ClientException": _rejected,
    "ServiceUnavailableException": _unavailable,
    # https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html and each operation's own list
    "NoSuchEntity": _rejected,
    # https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
    "InvalidEventCategoryException": _rejected,
    "InvalidLookupAttributesException": _rejected,
    "InvalidMaxResultsException": _rejected,
    "InvalidNextTokenException": _rejected,
    "InvalidTimeRangeException": _rejected,
    "OperationNotPermittedException": _rejected,
    "UnsupportedOperationException": _rejected,
    "InvalidInput": _rejected,
    "ServiceFailure": _unavailable,
}

_SERVICES = {
    "cloudtrail": ("LookupEvents",),
    "sts": ("AssumeRole", "GetCallerIdentity"),
    "eks": (
        "DescribeCluster",
        "DescribeFargateProfile",
        "DescribeNodegroup",
        "ListFargateProfiles",
        "ListNodegroups",
    ),
    "iam": (
        "GetPolicy",
        "GetPolicyVersion",
        "GetRole",
        "GetRolePolicy",
        "ListAttachedRolePolicies",
        "ListRolePolicies",
    ),
}
"""The operations of services other than ECR."""
_PREFIXES = {operation: service for service, operations in _SERVICES.items() for operation in operations}


def from_client_error(error: ClientError, subject: Subject) -> WharfingerError:
    """Our error for a refusal by AWS; the original is logged in full."""
    answer = error.response
    code = str(answer.get("Error", {}).get("Code", "Unknown"))
    metadata = answer.get("ResponseMetadata", {})
    aws = AwsRefusal(code, metadata.get("RequestId"))
    ours = from_code(aws, metadata.get("HTTPStatusCode", 0), subject, _iam_action(error.operation_name))
    # That something is not there is what was asked, as often as not.
    say = log.info if isinstance(ours, NotFoundError) else log.warning
    say("aws_refused", operation=error.operation_name, code=code, aws_request_id=aws.request_id, text=str(error))
    return ours


def from_code(aws: AwsRefusal, status: int, subject: Subject, action: str) -> WharfingerError:
    """Our error for an AWS code, also one of the per-image `failures` of a batch, which come with HTTP status 200."""
    if is_throttle(status, aws.code):
        return _throttled(aws, subject, action)
    make = ERRORS.get(aws.code) or (_unavailable if status >= _SERVER_ERROR else _rejected)
    return make(aws, subject, action)


def is_throttle(status: int, code: str) -> bool:
    """Whether a refusal only asks to come more slowly, by whichever name a service has for that."""
    return (
        status == _TOO_MANY_REQUESTS
        or "Throttl" in code
        or code in ("TooManyRequestsException", "RequestLimitExceeded")
    )


def is_refusal(code: str) -> bool:
    """Whether AWS said no by this code, and did not fail or ask to come more slowly: then nothing was done."""
    return not isinstance(from_code(AwsRefusal(code, None), 0, {}, ""), AwsUnavailableError | AwsThrottledError)


def credentials_missing() -> WharfingerError:
    return AwsPermissionError(
        "Wharfinger has no AWS credentials: give its process an identity.", code="aws_credentials"
    )


def _iam_action(operation: str) -> str:
    return f"{_PREFIXES.get(operation, 'ecr')}:{operation}"
