"""Repository policies that most people want, made for the accounts they name."""

from collections.abc import Sequence

from service.base.errors import NotFoundError
from service.clients.ecr.actions import PULL, PUSH
from service.iam.documents import Document
from service.models.policies import PolicyTemplate, PolicyTemplateList

_TEMPLATES = {
    "cross-account-pull": ("CrossAccountPull", PULL, "Lets other accounts pull from the repository"),
    "cross-account-push": (
        "CrossAccountPush",
        PUSH,
        "Lets other accounts push to the repository; pulling is not included",
    ),
}


def list_all() -> PolicyTemplateList:
    items = [
        PolicyTemplate(name=name, description=description, actions=list(actions))
        for name, (_, actions, description) in _TEMPLATES.items()
    ]
    return PolicyTemplateList(items=items, next_cursor=None)


def fill(name: str, accounts: Sequence[str]) -> Document:
    """The document for `accounts` (ids of 12 digits).

    :raises NotFoundError: there is no template of that name.
    """
    if name not in _TEMPLATES:
        raise NotFoundError("policy_template", name)
    sid, actions, _ = _TEMPLATES[name]
    statement = {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"AWS": list(dict.fromkeys(accounts))},
        "Action": list(actions),
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
