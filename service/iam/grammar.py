"""What a repository policy may say: the IAM policy grammar, as far as ECR takes it.

From the IAM User Guide, "Grammar of the IAM JSON policy language" and "AWS JSON policy elements", and from the ECR User
Guide, "Private repository policies". AWS has the last word; this finds the mistakes first, with their places.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from service.base import globs
from service.base.errors import FieldError

Mistakes = Iterator[FieldError]
Value = Any
"""Whatever JSON may hold."""

VERSIONS = ("2012-10-17", "2008-10-17")

REPOSITORY_ACTIONS = frozenset(
    {
        # Service Authorization Reference, Amazon Elastic Container Registry: those of resource type `repository`
        "BatchCheckLayerAvailability",
        "BatchDeleteImage",
        "BatchGetImage",
        "BatchGetRepositoryScanningConfiguration",
        "BatchImportUpstreamImage",
        "CompleteLayerUpload",
        "CreateRepository",
        "DeleteLifecyclePolicy",
        "DeleteRepository",
        "DeleteRepositoryPolicy",
        "DescribeImageReplicationStatus",
        "DescribeImageScanFindings",
        "DescribeImageSigningStatus",
        "DescribeImages",
        "DescribeRepositories",
        "GetDownloadUrlForLayer",
        "GetImageCopyStatus",
        "GetLifecyclePolicy",
        "GetLifecyclePolicyPreview",
        "GetRepositoryPolicy",
        "InitiateLayerUpload",
        "ListImageReferrers",
        "ListImages",
        "ListTagsForResource",
        "PutImage",
        "PutImageScanningConfiguration",
        "PutImageTagMutability",
        "PutLifecyclePolicy",
        "ReplicateImage",
        "SetRepositoryPolicy",
        "StartImageScan",
        "StartLifecyclePolicyPreview",
        "TagResource",
        "UntagResource",
        "UpdateImageStorageClass",
        "UploadLayerPart",
    }
)
_LOWER_ACTIONS = frozenset(action.lower() for action in REPOSITORY_ACTIONS)

_COMPARISONS = ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
_OPERATORS = frozenset(
    [
        *(f"String{one}" for one in ("Equals", "NotEquals", "EqualsIgnoreCase", "NotEqualsIgnoreCase")),
        *("StringLike", "StringNotLike", "Bool", "BinaryEquals", "IpAddress", "NotIpAddress"),
        *(f"{kind}{one}" for kind in ("Numeric", "Date") for one in _COMPARISONS),
        *("ArnEquals", "ArnNotEquals", "ArnLike", "ArnNotLike"),
    ]
)
_OPERATOR = re.compile(r"(?:(?:ForAllValues|ForAnyValue):)?(?P<name>[A-Za-z]+?)(?:IfExists)?")

_ARN = r"arn:aws[a-z-]*"
_PRINCIPALS: Mapping[str, tuple[re.Pattern[str], str]] = {
    "AWS": (
        re.compile(
            rf"\*|[0-9]{{12}}|{_ARN}:iam::[0-9]{{12}}:(?:root|(?:user|role)/[\w+=,.@/-]{{1,576}})"
            rf"|{_ARN}:sts::[0-9]{{12}}:(?:assumed-role/[\w+=,.@-]{{1,64}}|federated-user)/[\w+=,.@-]{{2,64}}",
            re.ASCII,
        ),
        "must be *, an account id of 12 digits, or the ARN of an account's root, a user, a role or a session",
    ),
    "Service": (re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.amazonaws\.com(?:\.cn)?"), "must be like ecs.amazonaws.com"),
    "Federated": (
        re.compile(
            rf"{_ARN}:iam::[0-9]{{12}}:(?:saml|oidc)-provider/[\w+=,.@/:-]{{1,576}}|[a-z0-9-]+(?:\.[a-z0-9-]+)+"
        ),
        "must be the ARN or the domain of an identity provider",
    ),
}

_PLAIN_KEY = re.compile(r"[\w:/.-]{1,128}", re.ASCII)
_SID = re.compile(r"[A-Za-z0-9 _.-]{1,128}")
_TEXT = re.compile(r"[\t\n\r\x20-\ud7ff\ue000-\U0010ffff]*")
_CONDITION_KEY = re.compile(r"[\w.-]+:[\w:/.@+=-]+", re.ASCII)


def check(document: Mapping[str, Value]) -> list[FieldError]:
    """Every mistake in a policy, with its place: `body.Statement[0].Principal.AWS[1]`. None: it can be sent."""
    return [
        *_unknown("body", document, {"Version", "Id", "Statement"}),
        *_version(document),
        *_text_at("body.Id", document.get("Id", "")),
        *_statements(document.get("Statement")),
    ]


def key_path(path: str, key: str) -> str:
    """The place of a key; one with odd characters is quoted, as it may be anything."""
    return f"{path}.{key}" if _PLAIN_KEY.fullmatch(key) else f"{path}[{json.dumps(key[:64])}]"


def _unknown(path: str, value: Mapping[str, Value], known: set[str]) -> Mistakes:
    names = ", ".join(sorted(known))
    return (
        FieldError(key_path(path, key), f"is not known here; known are {names}") for key in value if key not in known
    )


def _version(document: Mapping[str, Value]) -> Mistakes:
    if document.get("Version") not in VERSIONS:
        yield FieldError("body.Version", f"must be {' or '.join(VERSIONS)}")


def _text_at(path: str, value: Value) -> Mistakes:
    if not isinstance(value, str):
        yield FieldError(path, "must be a string")
    elif not _TEXT.fullmatch(value):
        yield FieldError(path, "has a control character or half a surrogate pair")


def _statements(value: Value) -> Mistakes:
    if isinstance(value, Mapping):
        yield from _statement("body.Statement", value)
    elif not isinstance(value, list) or not value:
        yield FieldError("body.Statement", "must be a statement or a list of at least one")
    else:
        for position, one in enumerate(value):
            yield from _statement(f"body.Statement[{position}]", one)
        yield from _sids_twice(value)


def _sids_twice(statements: list[Value]) -> Mistakes:
    seen: set[str] = set()
    for position, one in enumerate(statements):
        sid = one.get("Sid") if isinstance(one, Mapping) else None
        if isinstance(sid, str) and sid in seen:
            yield FieldError(f"body.Statement[{position}].Sid", "is that of another statement already")
        elif isinstance(sid, str):
            seen.add(sid)


_ELEMENTS = {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Condition"}
_RESOURCES = {"Resource", "NotResource"}


def _statement(path: str, value: Value) -> Mistakes:
    if not isinstance(value, Mapping):
        yield FieldError(path, "must be an object")
        return
    yield from _unknown(path, value, _ELEMENTS | _RESOURCES)
    for name in _RESOURCES & set(value):
        yield FieldError(f"{path}.{name}", "has no place in a repository policy: it is about its repository")
    yield from _sid(path, value)
    if value.get("Effect") not in ("Allow", "Deny"):
        yield FieldError(f"{path}.Effect", "must be Allow or Deny")
    yield from _one_of(path, value, ("Principal", "NotPrincipal"), _principal)
    yield from _one_of(path, value, ("Action", "NotAction"), _actions)
    if "Condition" in value:
        yield from _condition(f"{path}.Condition", value["Condition"])


def _sid(path: str, statement: Mapping[str, Value]) -> Mistakes:
    sid = statement.get("Sid")
    if "Sid" in statement and not (isinstance(sid, str) and _SID.fullmatch(sid)):
        yield FieldError(f"{path}.Sid", "must be 1 to 128 letters, digits, spaces, or any of _ . -")


def _one_of(
    path: str, statement: Mapping[str, Value], names: tuple[str, str], check_value: Callable[[str, Value], Mistakes]
) -> Mistakes:
    given = [name for name in names if name in statement]
    if not given:
        yield FieldError(f"{path}.{names[0]}", f"is missing; so is {names[1]}")
    elif len(given) > 1:
        yield FieldError(f"{path}.{names[1]}", f"does not go with {names[0]}")
    for name in given:
        yield from check_value(f"{path}.{name}", statement[name])


def _principal(path: str, value: Value) -> Mistakes:
    if value == "*":
        return
    if not isinstance(value, Mapping) or not value:
        yield FieldError(path, 'must be "*" or an object like {"AWS": "111111111111"}')
        return
    yield from _unknown(path, value, set(_PRINCIPALS))
    for kind, (pattern, complaint) in _PRINCIPALS.items():
        for place, one in each(f"{path}.{kind}", value[kind]) if kind in value else ():
            if not (isinstance(one, str) and pattern.fullmatch(one)):
                yield FieldError(place, complaint)


def _actions(path: str, value: Value) -> Mistakes:
    for place, one in each(path, value):
        if not isinstance(one, str):
            yield FieldError(place, "must be a string")
        elif not _is_action(one):
            yield FieldError(place, "is no action of ECR on a repository, and matches none")


def _is_action(text: str) -> bool:
    """Actions are matched without regard to case, with `*` and `?` as wildcards (IAM User Guide, "Action")."""
    prefix, _, name = text.lower().partition(":")
    return text == "*" or (prefix == "ecr" and any(globs.matches(name, action) for action in _LOWER_ACTIONS))


def _condition(path: str, value: Value) -> Mistakes:
    if not isinstance(value, Mapping):
        yield FieldError(path, "must be an object of operators")
        return
    for operator, keys in value.items():
        place = key_path(path, operator)
        if not _is_operator(operator):
            yield FieldError(place, "is not a condition operator of IAM")
        if not isinstance(keys, Mapping) or not keys:
            yield FieldError(place, "must be an object of at least one condition key")
        else:
            yield from _condition_keys(place, keys)


def _is_operator(operator: str) -> bool:
    written = _OPERATOR.fullmatch(operator)
    return operator == "Null" or (written is not None and written["name"] in _OPERATORS)


def _condition_keys(path: str, keys: Mapping[str, Value]) -> Mistakes:
    for key, values in keys.items():
        place = key_path(path, key)
        if not _CONDITION_KEY.fullmatch(key):
            yield FieldError(place, "is not a condition key like aws:PrincipalOrgID")
        for inner, one in each(place, values):
            if isinstance(one, str):
                yield from _text_at(inner, one)
            elif not (isinstance(one, int | float) and abs(one) <= sys.float_info.max):
                yield FieldError(inner, "must be a string, a finite number or a boolean")


def each(path: str, value: Value) -> Iterator[tuple[str, Value]]:
    """The values with their places, of a list or of one that stands alone; an empty list is its own mistake."""
    if not isinstance(value, list):
        yield path, value
    elif not value:
        yield path, None
    else:
        yield from ((f"{path}[{position}]", one) for position, one in enumerate(value))
