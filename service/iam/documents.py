"""ECR repository policies as documents: read, compared, and judged by whom they let in. No AWS here."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from service.base.errors import FieldError, InvalidError
from service.iam.grammar import check, key_path

Document = dict[str, Any]

MOST_CHARACTERS = 10_240
"""Of a repository policy (botocore's model of ECR: RepositoryPolicyText)."""

_ACCOUNT_ROOT = re.compile(r"arn:[a-z-]+:iam::([0-9]{12}):root")
_ACCOUNT = re.compile(r"(?:arn:[a-z-]+:(?:iam|sts)::)?([0-9]{12})(?::.*)?")
_SETS = ("Action", "NotAction")
_PRINCIPALS = ("Principal", "NotPrincipal")


def parse(content: bytes) -> Document:
    """The policy in a request's body.

    :raises InvalidError: it is not a policy that ECR can take; each mistake is named with its place (`invalid_policy`).
    """
    document, mistakes = _read(content)
    mistakes = mistakes or check(document)
    if mistakes:
        raise InvalidError("The document is not a valid repository policy.", code="invalid_policy", errors=mistakes)
    return document


def names_others(document: Document, account_id: str) -> bool:
    """Whether an Allow lets in anyone who is not certainly of this account; a Deny lets nobody in."""
    return any(
        not _is_own(statement, account_id)
        for statement in as_list(document["Statement"])
        if statement["Effect"] == "Allow"
    )


def canonical(document: Document) -> str:
    """The same text for documents that say the same.

    AWS may store a policy reformatted, a lone value for a list of one, and an account id as the ARN of its root
    (IAM User Guide, "AWS JSON policy elements: Principal").
    """
    statements = [_canonical_statement(one) for one in as_list(document.get("Statement", []))]
    return json.dumps(document | {"Statement": statements}, sort_keys=True, separators=(",", ":"))


def hash_of(document: Document) -> str:
    """SHA-256 of the canonical text, in hexadecimal."""
    return hashlib.sha256(canonical(document).encode()).hexdigest()


def as_list(value: Any) -> list[Any]:  # noqa: ANN401 - JSON
    """Where the policy language takes a lone value for a list of one."""
    return value if isinstance(value, list) else [value]


def _is_own(statement: Document, account_id: str) -> bool:
    principal = statement.get("Principal")
    if not isinstance(principal, dict) or set(principal) != {"AWS"}:
        return False
    accounts = [_ACCOUNT.fullmatch(one) for one in as_list(principal["AWS"])]
    return all(account and account[1] == account_id for account in accounts)


def _canonical_statement(statement: Document) -> Document:
    plain = dict(statement)
    for name in _SETS:
        if name in plain:
            plain[name] = _as_set(plain[name])
    for name in _PRINCIPALS:
        if name in plain:
            plain[name] = _canonical_principal(plain[name])
    if "Condition" in plain:
        plain["Condition"] = {
            operator: {key: _as_set(value) for key, value in keys.items()}
            for operator, keys in plain["Condition"].items()
        }
    return plain


def _canonical_principal(principal: Any) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(principal, dict):
        return {"AWS": [principal]}
    return {kind: _as_set([_ACCOUNT_ROOT.sub(r"\1", one) for one in as_list(of)]) for kind, of in principal.items()}


def _as_set(value: Any) -> list[str]:  # noqa: ANN401 - JSON
    return sorted({one if isinstance(one, str) else json.dumps(one) for one in as_list(value)})


class _Object(dict[str, Any]):
    """A JSON object that knows which keys came twice: readers differ in which of the two they believe."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(key for key, _ in pairs)
        self.twice = [key for key, count in counts.items() if count > 1]


def _read(content: bytes) -> tuple[Document, list[FieldError]]:
    try:
        text = content.decode()
        if len(text) > MOST_CHARACTERS:
            return {}, [FieldError("body", f"has {len(text):,} characters; {MOST_CHARACTERS:,} are allowed")]
        document = json.loads(text, object_pairs_hook=_Object, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        return {}, [FieldError("body", "is not UTF-8")]
    except json.JSONDecodeError as error:
        return {}, [FieldError("body", f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}")]
    except (ValueError, RecursionError):
        return {}, [FieldError("body", "has a number or a depth that no policy has")]
    if not isinstance(document, dict):
        return {}, [FieldError("body", "must be a JSON object")]
    return document, [FieldError(path, "comes twice in this object") for path in _twice(document)]


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _twice(document: Document) -> Iterator[str]:
    """Where keys come twice; without recursion, as the depth is the sender's choice."""
    waiting: list[tuple[str, Any]] = [("body", document)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, _Object):
            yield from (key_path(path, key) for key in value.twice)
            waiting += [(key_path(path, key), below) for key, below in value.items()]
        elif isinstance(value, list):
            waiting += [(f"{path}[{position}]", below) for position, below in enumerate(value)]
