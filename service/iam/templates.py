"""Repository policies that most people want, made for the accounts they name."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, StringConstraints

from service.clients.ecr.actions import PULL, PUSH
from service.iam.documents import Document
from service.models.common import Model
from service.operations.document_kinds import Template

_Account = Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$"), Field(examples=["222222222222"])]


class _Accounts(Model):
    account: Sequence[_Account] = Field(min_length=1, max_length=100, description="Account ids; repeatable")


def cross_account_pull(accounts: Sequence[str]) -> Document:
    return _allow("CrossAccountPull", PULL, accounts)


def cross_account_push(accounts: Sequence[str]) -> Document:
    return _allow("CrossAccountPush", PUSH, accounts)


def _allow(sid: str, actions: Sequence[str], accounts: Sequence[str]) -> Document:
    statement = {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"AWS": list(dict.fromkeys(accounts))},
        "Action": list(actions),
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


REPOSITORY_POLICIES = (
    Template(
        name="cross-account-pull",
        description="Lets other accounts pull from the repository",
        parameters=_Accounts,
        fill=lambda given: cross_account_pull(given.account),
        actions=PULL,
    ),
    Template(
        name="cross-account-push",
        description="Lets other accounts push to the repository; pulling is not included",
        parameters=_Accounts,
        fill=lambda given: cross_account_push(given.account),
        actions=PUSH,
    ),
)
