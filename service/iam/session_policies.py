"""The session policy of a vended credential: no wider than the repositories and actions that were asked for."""

import json
from collections.abc import Sequence

from service.clients.ecr.actions import LOGIN

MOST_CHARACTERS = 2048
"""Of an inline session policy (STS API reference, AssumeRole)."""


def session_policy(repository_arns: Sequence[str], actions: Sequence[str]) -> str:
    """For ECR actions on repositories, of which an ARN may be a pattern; compact, as its size is limited.

    What it does not grant it denies: a repository's policy can let a session in past what is merely left out (IAM
    User Guide, "How AWS enforcement code logic evaluates requests to allow or deny access"), but not past a Deny.
    So the Allow says nothing that the Deny does not, and is wide where naming all twice would not fit. It may be longer
    than `MOST_CHARACTERS` all the same.
    """
    named = repository_arns[0] if len(repository_arns) == 1 else list(repository_arns)
    deny = [
        {"Effect": "Deny", "NotAction": [LOGIN, *actions], "Resource": "*"},
        {"Effect": "Deny", "NotAction": LOGIN, "NotResource": named},
    ]
    login = {"Effect": "Allow", "Action": LOGIN, "Resource": "*"}
    exact = _document([login, {"Effect": "Allow", "Action": list(actions), "Resource": named}, *deny])
    if len(exact) <= MOST_CHARACTERS:
        return exact
    return _document([{"Effect": "Allow", "Action": "ecr:*", "Resource": "*"}, *deny])


def _document(statements: Sequence[object]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
