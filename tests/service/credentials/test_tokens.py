"""When a credential that is known is given again: that takes some that end soon, as the stand-in for AWS makes none."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from service.base.clock import utcnow
from service.base.settings import RegistrySettings
from service.clients.broker import Credential
from service.credentials.tokens import Tokens
from service.models.audit import Status
from service.models.tokens import TokenRequest
from service.operations.operations import Operations
from tests.conftest import ACCOUNT, REGION
from tests.service.calls import make_call
from tests.service.conftest import Rows

pytestmark = pytest.mark.asyncio


class SoonOver:
    """Stands for AWS: each credential has the next of the given minutes to live."""

    settings = RegistrySettings(
        name="local", account_id=ACCOUNT, region=REGION, broker_role=f"arn:aws:iam::{ACCOUNT}:role/broker"
    )

    def __init__(self, *minutes: float) -> None:
        self._lives = [timedelta(minutes=one) for one in minutes]
        self.vended = 0

    async def vend(self, policy: str, session_name: str) -> Credential:
        ends = utcnow() + self._lives[self.vended]
        self.vended += 1
        return Credential("AWS", f"{self.vended} {policy} {session_name}", "https://registry.test", ends)


def tokens_of(broker: Any, operate: Operations) -> Tokens:  # noqa: ANN401 - a stand-in
    registries: Any = SimpleNamespace(find=lambda _: SimpleNamespace(broker=broker))
    return Tokens(registries=registries, operations=operate)


async def number(tokens: Tokens, **asked: Any) -> str:  # noqa: ANN401 - fields of the request
    """Which of the vended ones a request is answered."""
    request = TokenRequest.model_validate({"repositories": ["team/app"], "actions": ["pull"]} | asked)
    return (await tokens.vend(make_call(), None, request)).value.password.partition(" ")[0]


async def test_one_with_less_than_a_quarter_of_an_hour_left_is_not_given_again(operate: Operations, rows: Rows) -> None:
    tokens = tokens_of(SoonOver(14.5, 15.5, 60), operate)

    given = [await number(tokens) for _ in range(3)]

    assert given == ["1", "2", "2"]
    assert [row["result"]["from_cache"] for row in await rows()] == [False, False, True]
    assert {row["status"] for row in await rows()} == {Status.SUCCEEDED}


async def test_who_needs_longer_gets_another_and_who_needs_less_may_have_what_is_left(operate: Operations) -> None:
    tokens = tokens_of(SoonOver(20, 60, 10), operate)

    assert await number(tokens) == "1"
    assert await number(tokens, min_seconds=1_100) == "1"
    assert await number(tokens, min_seconds=1_300) == "2"
    assert await number(tokens) == "2"

    assert await number(tokens, actions=["push"]) == "3"
    assert await number(tokens, actions=["push"], min_seconds=300) == "3"
