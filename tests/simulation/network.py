"""What aiobotocore sends through instead of aiohttp: its own mapping of errors and its retries stay in play."""

import asyncio
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from aiobotocore.httpsession import AIOHTTPSession

from service.clients.aws.reads import READS as SERVICE_READS
from tests.simulation.aws_model import READS, Json, RefusalError, name_of
from tests.simulation.faults import LATEST, Draw, Fate, error_of
from tests.simulation.replica import alive
from tests.simulation.virtual_time import EPOCH
from tests.simulation.world import World, asking

_OPERATION = re.compile(r"wharfinger-operation/(\S+)")
_SESSION = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>lent</AccessKeyId><SecretAccessKey>lent</SecretAccessKey><SessionToken>lent</SessionToken>
<Expiration>{}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""


@dataclass(frozen=True, slots=True)
class Answer:
    """As much of aiohttp's response as aiobotocore uses."""

    status: int
    body: bytes
    is_cut: bool = False
    url: str = "https://aws.test/"
    raw_headers: tuple[tuple[bytes, bytes], ...] = ((b"x-amzn-RequestId", b"simulated"),)

    async def read(self) -> bytes:
        if self.is_cut and (error := error_of(Fate.HALF_BODY)):
            raise error
        return self.body


@dataclass(frozen=True, slots=True)
class Sent:
    """One attempt of one call."""

    call: str
    asked: Json
    operation_id: str
    who: str

    @property
    def is_read(self) -> bool:
        return self.call in SERVICE_READS

    @classmethod
    def of(cls, headers: Mapping[str, str], data: Any) -> "Sent":  # noqa: ANN401 - text or bytes
        found = _OPERATION.search(headers.get("User-Agent", ""))
        operation_id = found[1] if found else ""
        text = data.decode() if isinstance(data, bytes) else str(data)
        if target := headers.get("X-Amz-Target"):
            return cls(target.partition(".")[2], json.loads(text or "{}"), operation_id, asking.get())
        return cls(parse_qs(text)["Action"][0], {}, operation_id, asking.get())


class Network:
    """Carries every attempt to the model of AWS, as its fate has it."""

    world: World

    def session(self) -> type[AIOHTTPSession]:
        network = self

        class Session(AIOHTTPSession):  # type: ignore[misc] # aiobotocore has no types
            async def _get_session(self, _: object) -> Network:
                return network

        return Session

    async def request(self, _: str, *, headers: Mapping[str, str], data: Any, **__: object) -> Answer:  # noqa: ANN401
        """As aiohttp's `ClientSession.request`.

        :raises aiohttp.ClientError: whatever the attempt's fate is.
        """
        alive()
        world, sent = self.world, Sent.of(headers, data)
        name = world.name(sent.call)
        draw = world.faults.draw(name, world.loop.now, is_read=sent.is_read, latest=world.left(LATEST))
        if not sent.is_read:
            self._check(sent)
        answer = self._send(sent, draw)
        await asyncio.sleep(draw.returns)
        alive()
        if draw.fate is not Fate.ANSWERED:
            world.note(f"{sent.call}: {draw.fate} [{name}]")
        if draw.fate is not Fate.HALF_BODY and (error := error_of(draw.fate)):
            raise error
        return _refused(draw.fate) or _spoilt(answer.result(), draw.fate)

    def _send(self, sent: Sent, draw: Draw) -> asyncio.Future[Answer]:
        """Under way, whatever becomes of who sent it."""
        world = self.world
        answered: asyncio.Future[Answer] = world.loop.create_future()
        if draw.acts:
            arrive = partial(self._arrive, sent, draw, answered)
            world.loop.call_later(draw.travel, arrive, context=world.context.copy())
        return answered

    def _arrive(self, sent: Sent, draw: Draw, answered: asyncio.Future[Answer]) -> None:
        try:
            answer = self._act(sent, draw.lag)
        except RefusalError as error:
            answer = _error(400, error.code)
        if not sent.is_read:
            said = "acts" if answer.status < 300 else f"refuses: {json.loads(answer.body)['__type']}"
            self.world.note(f"AWS {said} on {sent.call} {name_of(sent.asked)}")
        with suppress(asyncio.InvalidStateError):
            answered.set_result(answer)

    def _act(self, sent: Sent, lag: float) -> Answer:
        world = self.world
        if sent.call in READS:
            return _json(world.read(sent.who, sent.call, sent.asked, lag))
        if sent.call == "AssumeRole":
            ends = EPOCH + timedelta(seconds=world.loop.now + 3600)
            return Answer(200, _SESSION.format(ends.strftime("%Y-%m-%dT%H:%M:%SZ")).encode())
        if sent.call == "GetAuthorizationToken":
            world.vend(sent.operation_id)
            ends = EPOCH + timedelta(seconds=world.loop.now + 43_200)
            login = {
                "authorizationToken": "QVdTOnNlY3JldA==",
                "expiresAt": ends.timestamp(),
                "proxyEndpoint": "https://h",
            }
            return _json({"authorizationData": [login]})
        return _json(world.write(sent.operation_id, sent.call, sent.asked))

    def _check(self, sent: Sent) -> None:
        if self.world.is_late:
            self.world.late.append(f"{sent.call} of {sent.who} at {self.world.loop.now:.1f} s")
        if not self.is_open(sent.operation_id):
            self.world.unrecorded.append(f"{sent.call} of operation {sent.operation_id or 'none'}")

    def is_open(self, operation_id: str) -> bool:
        """Whether there is a durable row of that id without an outcome; the driver says how to ask."""
        raise NotImplementedError


def _json(answer: Json) -> Answer:
    return Answer(200, json.dumps(answer).encode())


def _error(status: int, code: str) -> Answer:
    return Answer(status, json.dumps({"__type": code, "message": "as the model has it"}).encode())


def _refused(fate: Fate) -> Answer | None:
    if fate is Fate.THROTTLED:
        return _error(400, "ThrottlingException")
    return _error(500, "ServerException") if fate is Fate.SERVER_ERROR else None


def _spoilt(answer: Answer, fate: Fate) -> Answer:
    if fate is Fate.GARBLED:
        return Answer(200, b"<html>")
    return Answer(answer.status, answer.body, is_cut=fate is Fate.HALF_BODY)
