"""Who may call IAM: moto, which keeps users and roles, lets everyone do everything.

For which resource an action is about: Service Authorization Reference, "Actions, resources, and condition keys for AWS
Identity and Access Management".
"""

from collections.abc import Mapping

from sandbox.aws.policy import MalformedPolicyError, Principal, Request, is_allowed, parse
from sandbox.aws.sts import StsError

_DOCUMENTS = ("AssumeRolePolicyDocument", "PolicyDocument")


def check_documents(fields: Mapping[str, str]) -> None:
    """:raises StsError: moto keeps any text for a policy; IAM, only one."""
    for text in (fields[name] for name in _DOCUMENTS if name in fields):
        try:
            parse(text)
        except MalformedPolicyError as error:
            raise StsError(400, "MalformedPolicyDocument", str(error)) from error


def require(principal: Principal, operation: str, fields: Mapping[str, str]) -> None:
    """:raises StsError: the caller may not, in the words that services of the Query protocol share."""
    action, resource = f"iam:{operation}", _resource(principal.account, fields)
    request = Request(action=action, resource=resource, principal=principal)
    if not is_allowed(request, resource_account=principal.account, resource_policy=None):
        text = f"User: {principal.arn} is not authorized to perform: {action} on resource: {resource}"
        raise StsError(403, "AccessDenied", text)


def _resource(account: str, fields: Mapping[str, str]) -> str:
    """A role or user before its policy: what is attached to whom is asked of the latter."""
    for member, kind in (("RoleName", "role"), ("UserName", "user")):
        if member in fields:
            return f"arn:aws:iam::{account}:{kind}/{fields[member]}"
    return fields.get("PolicyArn", "*")
