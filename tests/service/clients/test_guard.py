"""The guard: nothing is changed at AWS outside an open operation, and what is sent names its operation."""

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

import pytest
import pytest_asyncio
from botocore.exceptions import ParamValidationError
from botocore.loaders import Loader

from service.base.clock import running, utcnow
from service.base.errors import (
    AnswerLostError,
    AwsPermissionError,
    AwsUnavailableError,
    DeadlineError,
    NotFoundError,
    WharfingerError,
)
from service.base.permits import Permit, Term, permit
from service.base.settings import DeadlineSettings, RegistrySettings
from service.clients.aws.guard import UnrecordedCallError
from service.clients.aws.models import OVERLAY
from service.clients.aws.reads import READS
from service.clients.aws.sessions import Aws, RegistryClients
from service.clients.aws.translation import translated
from tests.service.machine import Machine

pytestmark = pytest.mark.asyncio


@dataclass(slots=True)
class Answers:
    """An HTTP server in AWS's place: answers as told, one after another, and keeps each request's head."""

    port: int = 0
    script: list[bytes | None] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)

    def say(self, *answers: tuple[int, str] | Literal["reset"] | None) -> None:
        """Queue answers (status, JSON); None ends the connection without one, "reset" as a process that died does."""
        self.script = [RESET if one == "reset" else one and _response(*one) for one in answers]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"(?i)content-length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            self.heads.append(head)
            answer = self.script.pop(0)
            if answer is RESET:
                reset_on_close(writer)
            elif answer is not None:
                writer.write(answer)
                await writer.drain()
        finally:
            writer.close()

    def user_agents(self) -> list[str]:
        return [line for head in self.heads for line in head.splitlines() if line.lower().startswith("user-agent:")]


RESET = b""
_LINGER = struct.pack("ii", 1, 0)


def reset_on_close(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)


def _response(status: int, body: str) -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.1\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest_asyncio.fixture
async def answers() -> AsyncIterator[Answers]:
    made = Answers()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await server.wait_closed()


@pytest_asyncio.fixture
async def clients(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RegistryClients]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made-up")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    deadlines = DeadlineSettings(aws_read=timedelta(seconds=2), aws_attempts=2)
    registry = RegistrySettings.model_validate(
        {
            "name": "local",
            "account_id": "111111111111",
            "region": "eu-central-1",
            "endpoint": f"http://127.0.0.1:{answers.port}",
        }
    )
    aws = Aws([registry], deadlines)
    yield (await aws.open())["local"]
    await aws.close()


@contextmanager
def given(operation_id: str = "operation-1") -> Iterator[Permit]:
    """Within an open operation."""
    leave = Permit(operation_id, Term(utcnow() + timedelta(seconds=27)))
    token = permit.set(leave)
    yield leave
    permit.reset(token)


async def create(clients: RegistryClients) -> None:
    with translated("CreateRepository", repository="app"):
        await clients.ecr.create_repository(repositoryName="app")


async def describe(clients: RegistryClients) -> None:
    with translated("DescribeRepositories", repository="app"):
        await clients.ecr.describe_repositories(repositoryNames=["app"])


async def import_image(clients: RegistryClients) -> None:
    with translated("BatchGetImage", repository="app"):
        await clients.ecr.batch_get_image(repositoryName="app", imageIds=[{"imageTag": "1"}])


async def test_a_change_outside_an_operation_is_refused_and_nothing_is_sent(
    clients: RegistryClients, answers: Answers
) -> None:
    with pytest.raises(UnrecordedCallError, match="CreateRepository"):
        await create(clients)
    sts = await clients.sts.get()
    with pytest.raises(UnrecordedCallError, match="AssumeRole"):
        await sts.assume_role(RoleArn="arn:aws:iam::111111111111:role/broker", RoleSessionName="ci")
    with pytest.raises(UnrecordedCallError, match="GetAuthorizationToken"):
        await clients.ecr.get_authorization_token()
    assert answers.heads == []


async def test_a_change_within_one_names_it_on_every_attempt(clients: RegistryClients, answers: Answers) -> None:
    answers.say((400, '{"__type": "ThrottlingException"}'), (200, '{"repository": {}}'))
    with given("0199-abc") as leave:
        await create(clients)
    assert [agent.endswith(" wharfinger-operation/0199-abc") for agent in answers.user_agents()] == [True, True]
    assert leave.is_sent
    assert not leave.is_doubtful


async def test_a_read_needs_no_operation_and_names_none(clients: RegistryClients, answers: Answers) -> None:
    answers.say((200, '{"repositories": []}'), (200, '{"repositories": []}'))
    await describe(clients)
    with given() as leave:
        await describe(clients)
    assert [("wharfinger" in agent, "operation/" in agent) for agent in answers.user_agents()] == [(True, False)] * 2
    assert not leave.is_sent


@pytest.mark.parametrize("lost", [None, (500, '{"__type": "ServerException"}')], ids=["reset", "500"])
async def test_an_attempt_without_a_definite_answer_leaves_a_doubt(
    clients: RegistryClients, answers: Answers, lost: tuple[int, str] | None
) -> None:
    answers.say(lost, (400, '{"__type": "RepositoryNotFoundException"}'))
    with given() as leave, pytest.raises(NotFoundError):
        await create(clients)
    assert leave.is_doubtful


async def test_a_change_whose_answer_never_came_is_lost(clients: RegistryClients, answers: Answers) -> None:
    answers.say(None, None)
    with given(), pytest.raises(AnswerLostError):
        await create(clients)


async def test_a_change_whose_connection_is_reset_is_lost_and_not_sent_again(
    clients: RegistryClients, answers: Answers
) -> None:
    """A reset has one error with a connection that was never made, in aiobotocore; here AWS has the request."""
    answers.say("reset", (200, "{}"))
    with given() as leave, pytest.raises(AnswerLostError), translated("DeleteRepository", repository="app"):
        await clients.ecr.delete_repository(repositoryName="app")
    assert (leave.is_doubtful, len(answers.heads)) == (True, 1)


async def test_a_creation_may_be_sent_again_as_aws_refuses_to_do_it_twice(
    clients: RegistryClients, answers: Answers
) -> None:
    answers.say("reset", (200, '{"repository": {}}'))
    with given() as leave:
        await create(clients)
    assert (leave.is_doubtful, len(answers.heads)) == (False, 2)


async def test_past_its_deadline_nothing_is_sent(clients: RegistryClients, answers: Answers) -> None:
    with given() as leave:
        leave.term.until = utcnow() - timedelta(seconds=1)
        with pytest.raises(DeadlineError):
            await create(clients)
    assert (leave.is_sent, answers.heads) == (False, [])


async def test_a_machine_that_slept_past_the_deadline_sends_nothing_though_its_timers_stood_still(
    clients: RegistryClients, answers: Answers
) -> None:
    machine = Machine()
    with running(machine.boot()), given() as leave:
        machine.wall += timedelta(seconds=60)
        with pytest.raises(DeadlineError):
            await create(clients)
    assert (leave.is_sent, answers.heads) == (False, [])


@pytest.mark.parametrize(
    ("ask", "answer"), [(create, '{"repository": {}}'), (import_image, '{"images": [], "failures": []}')]
)
async def test_what_waits_past_its_time_once_it_is_signed_is_not_sent(
    clients: RegistryClients, answers: Answers, ask: Callable[[RegistryClients], Awaitable[None]], answer: str
) -> None:
    machine = Machine()

    def wait(**_: object) -> None:
        machine.wait(timedelta(minutes=1))

    clients.ecr.meta.events.register("before-send", wait)
    with running(machine.boot()), given() as leave:
        with pytest.raises(DeadlineError):
            await ask(clients)
        assert (leave.is_held_back, leave.is_doubtful, answers.heads) == (True, False, [])
        clients.ecr.meta.events.unregister("before-send", wait)
        leave.term.until = utcnow() + timedelta(seconds=27)
        answers.say((200, answer))
        await ask(clients)
    assert len(answers.heads) == 1


async def test_a_read_goes_on_past_the_time_for_changes(clients: RegistryClients, answers: Answers) -> None:
    answers.say((200, '{"repositories": []}'))
    with given() as leave:
        leave.term.until = utcnow() - timedelta(seconds=1)
        await describe(clients)
    assert len(answers.heads) == 1


async def test_a_read_whose_answer_never_came_changed_nothing(clients: RegistryClients, answers: Answers) -> None:
    answers.say(None, None)
    with pytest.raises(AwsUnavailableError) as caught:
        await describe(clients)
    assert not isinstance(caught.value, AnswerLostError)


async def test_where_nobody_listens_nothing_was_sent(clients: RegistryClients, answers: Answers) -> None:
    registry = clients.settings.model_copy(update={"endpoint": "http://127.0.0.1:1"})
    aws = Aws([registry], DeadlineSettings(aws_attempts=1))
    try:
        with given() as leave, pytest.raises(AwsUnavailableError) as caught:
            await create((await aws.open())["local"])
    finally:
        await aws.close()
    assert not isinstance(caught.value, AnswerLostError)
    assert not leave.is_doubtful
    assert answers.heads == []


async def test_without_credentials_an_operator_is_told(
    clients: RegistryClients, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    aws = Aws([clients.settings], DeadlineSettings())
    try:
        with pytest.raises(AwsPermissionError) as caught:
            await describe((await aws.open())["local"])
    finally:
        await aws.close()
    assert caught.value.code == "aws_credentials"
    assert answers.heads == []


async def test_a_missing_permission_is_named_and_awss_words_are_not(clients: RegistryClients, answers: Answers) -> None:
    words = "User: arn:aws:sts::111111111111:assumed-role/secret is not authorized"
    answers.say((400, '{"__type": "AccessDeniedException", "message": "%s"}' % words))  # noqa: UP031 - JSON has braces
    with pytest.raises(WharfingerError) as caught:
        await describe(clients)
    assert "ecr:DescribeRepositories on app" in caught.value.detail
    assert "secret" not in caught.value.detail
    assert caught.value.aws
    assert caught.value.aws.code == "AccessDeniedException"


async def test_what_counts_as_a_read_exists_and_reads() -> None:
    loader = Loader(extra_search_paths=[str(OVERLAY)])
    models = (loader.load_service_model(service, "service-2") for service in ("ecr", "sts", "eks", "iam", "cloudtrail"))
    known = {name for model in models for name in model["operations"]}
    assert known >= READS
    assert not {name for name in READS if not name.startswith(("Get", "List", "Describe", "BatchGet", "Lookup"))}
    assert not READS & {"GetAuthorizationToken", "GetSessionToken", "GetFederationToken"}, "these give credentials away"


async def test_what_the_sdk_itself_refuses_is_no_lost_answer() -> None:
    with pytest.raises(ParamValidationError), translated("CreateRepository"):
        raise ParamValidationError(report="a member is missing")
