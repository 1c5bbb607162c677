"""AssumeRole and GetCallerIdentity: moto's know neither trust nor session policies."""

import json
import math
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

from sandbox.aws.identities import Identities, Known, managed_policy, role
from sandbox.aws.policy import MalformedPolicyError, Request, is_trusted, parse

ACTIONS = frozenset({"AssumeRole", "GetCallerIdentity"})
_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
_ROLE_ARN = re.compile(r"arn:aws:iam::[0-9]{12}:role/[\w+=,.@/-]+")
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_SHORTEST, _LONGEST, _LONGEST_CHAINED, _DEFAULT = 900, 43_200, 3600, 3600
_MOST_POLICY_CHARACTERS = 2048
_MOST_POLICY_ARNS = 10

Fields = Mapping[str, str]
Members = dict[str, str | Mapping[str, str]]


class StsError(Exception):
    """A refusal in the words of STS."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def answer(identities: Identities, caller: Known, action: str, fields: Fields) -> str:
    """The XML of an action's result.

    :raises StsError:
    """
    return _assume_role(identities, caller, fields) if action == "AssumeRole" else _caller_identity(caller)


def error_body(error: StsError, request_id: str) -> str:
    return (
        f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>Sender</Type><Code>{error.code}</Code>'
        f"<Message>{escape(error.message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )


def _caller_identity(caller: Known) -> str:
    user_id = "AROASANDBOX:" + caller.session if caller.session else f"AIDA{caller.user}"
    return result("GetCallerIdentity", {"Arn": caller.arn, "UserId": user_id, "Account": caller.account})


def _assume_role(identities: Identities, caller: Known, fields: Fields) -> str:
    arn = role_asked_for(fields)
    context = {"sts:externalid": fields["ExternalId"]} if "ExternalId" in fields else {}
    request = Request("sts:AssumeRole", arn, identities.principal(caller), context)
    refusal = f"User: {caller.arn} is not authorized to perform: sts:AssumeRole on resource: {arn}"
    wanted = require_trust(arn, request, refusal)
    return result("AssumeRole", start(identities, wanted, fields, most=_LONGEST_CHAINED if caller.is_session else None))


def role_asked_for(fields: Fields) -> str:
    """The ARN of the role that a session is asked of.

    :raises StsError: it, or the session's name, has not the form that it must have.
    """
    arn, name = fields.get("RoleArn", ""), fields.get("RoleSessionName", "")
    if not _ROLE_ARN.fullmatch(arn) or not _SESSION_NAME.fullmatch(name):
        raise _invalid(f"RoleArn {arn!r} or RoleSessionName {name!r} does not have the form it must have")
    return arn


def require_trust(arn: str, request: Request, refusal: str) -> Any:  # noqa: ANN401 - moto's own class, untyped
    """The role, if there is one and it trusts who asks.

    :raises StsError:
    """
    wanted = role(arn)
    if wanted is None or not is_trusted(_text(wanted.assume_role_policy_document), request, account=arn.split(":")[4]):
        raise StsError(403, "AccessDenied", refusal)
    return wanted


def start(identities: Identities, wanted: Any, fields: Fields, *, most: int | None) -> Members:  # noqa: ANN401 - as above
    """A new session of a role: the members that all actions answer which give one.

    :param most: seconds that it may last, where that is not the role's alone to say.
    :raises StsError:
    """
    account, name = wanted.arn.split(":")[4], fields["RoleSessionName"]
    policies = _session_policies(fields, account)
    seconds = _seconds(fields, most, int(wanted.max_session_duration or _DEFAULT))
    session = identities.start_session(wanted.arn, name, policies, seconds)
    return {
        "Credentials": {
            "AccessKeyId": session["access_key"],
            "SecretAccessKey": session["secret"],
            "SessionToken": session["token"],
            "Expiration": datetime.fromtimestamp(session["expires_at"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
        "AssumedRoleUser": {
            "AssumedRoleId": f"{wanted.id}:{name}",
            "Arn": f"arn:aws:sts::{account}:assumed-role/{wanted.name}/{name}",
        },
        "PackedPolicySize": str(math.ceil(100 * sum(map(len, policies)) / _MOST_POLICY_CHARACTERS)),
    }


def _seconds(fields: Fields, chained: int | None, most: int) -> int:
    try:
        seconds = int(fields.get("DurationSeconds", _DEFAULT))
    except ValueError:
        raise _invalid("DurationSeconds is not a number") from None
    if not _SHORTEST <= seconds <= _LONGEST:
        raise _invalid(f"DurationSeconds {seconds} is not between {_SHORTEST} and {_LONGEST}")
    if chained is not None and seconds > chained:
        raise _invalid("The requested DurationSeconds exceeds the 1 hour limit for roles assumed by role chaining")
    if seconds > most:
        raise _invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
    return seconds


def _session_policies(fields: Fields, account: str) -> list[str]:
    arns = [value for key, value in fields.items() if re.fullmatch(r"PolicyArns\.member\.\d+\.arn", key)]
    inline = [fields["Policy"]] if fields.get("Policy") else []
    if len(arns) > _MOST_POLICY_ARNS:
        raise _invalid(f"At most {_MOST_POLICY_ARNS} policy ARNs")
    managed = [managed_policy(account, arn) for arn in arns]
    if None in managed:
        raise StsError(400, "MalformedPolicyDocument", "A policy ARN does not exist")
    policies = [*inline, *(document for document in managed if document)]
    # Documented: inline and managed session policies together, as plain text.
    if sum(map(len, policies)) > _MOST_POLICY_CHARACTERS:
        raise _invalid(f"The session policies have more than {_MOST_POLICY_CHARACTERS} characters")
    for policy in policies:
        try:
            parse(policy)
        except MalformedPolicyError as error:
            raise StsError(400, "MalformedPolicyDocument", str(error)) from error
    return policies


def _invalid(message: str) -> StsError:
    return StsError(400, "ValidationError", message)


def _text(document: object) -> str:
    return document if isinstance(document, str) else json.dumps(document)


def result(action: str, members: Members) -> str:
    """As XML."""
    return (
        f'<{action}Response xmlns="{_NAMESPACE}"><{action}Result>{_xml(members)}</{action}Result>'
        f"<ResponseMetadata><RequestId>{secrets.token_hex(16)}</RequestId></ResponseMetadata></{action}Response>"
    )


def _xml(members: Members | Mapping[str, str]) -> str:
    return "".join(
        f"<{name}>{escape(value) if isinstance(value, str) else _xml(value)}</{name}>"
        for name, value in members.items()
    )
