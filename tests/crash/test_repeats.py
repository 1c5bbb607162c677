"""The same request many times at once, with one Idempotency-Key."""

import asyncio

import httpx
import pytest

from sandbox.server import Sandbox

_TIMES = 20


@pytest.mark.asyncio
async def test_twenty_at_once_are_one_call_and_answers_that_agree(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    async def ask() -> httpx.Response:
        return await admin.post("/v1/repositories", json={"name": "team/app"}, headers={"Idempotency-Key": "once"})

    answers = await asyncio.gather(*(ask() for _ in range(_TIMES)))
    last = await ask()

    assert [call.operation for call in aws.calls()].count("CreateRepository") == 1
    created = [answer for answer in answers if answer.status_code == 201]
    waiting = [answer for answer in answers if answer.status_code == 409]
    assert len(created) + len(waiting) == _TIMES
    assert {answer.text for answer in created} == {last.text}
    assert all(answer.json()["code"] == "operation_in_progress" and answer.headers["Retry-After"] for answer in waiting)
    assert last.headers["Idempotency-Replayed"] == "true"
