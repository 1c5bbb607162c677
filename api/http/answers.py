"""A request as routes have it, and how answers are put: entity tags, links, replays, plain text for a shell."""

import hashlib
import re
from collections.abc import AsyncGenerator, Awaitable
from typing import Any, TypeVar
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.types import Scope

from api.http.attendance import Attendance
from api.http.deps import KEY_HEADER, KEY_PATTERN, MATCH_HEADER, services_of
from api.http.negotiation import JSON, preferred
from api.http.streams import Event, lines_of
from service.access.authz import Caller
from service.base.deadlines import Deadline
from service.base.errors import DatabaseError, FieldError, LongWork, ParameterError
from service.models.common import Model, Page, etag_of
from service.operations.calls import Call, Done

PLAIN = "text/plain"
PLAIN_TEXT: dict[int | str, dict[str, Any]] = {
    # JSON first: generated clients read what is named first.
    200: {"content": {"application/json": {}, "text/plain": {"schema": {"type": "string"}}}},
}
"""Beside the JSON of a 200: the one line that a shell wants."""
TAGGED: dict[int | str, dict[str, Any]] = {304: {"description": "It is still as `If-None-Match` has it"}}
"""Of what is read with an ETag."""
_KEY = re.compile(KEY_PATTERN)

M = TypeVar("M", bound=Model)
P = TypeVar("P", bound=Page)
T = TypeVar("T")


class _Headers(Headers):
    """Looked up in a dict: a request is asked for a dozen, most of which it does not have."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope=scope)
        # Of those that come twice the first, as in the framework's own.
        self._first = dict(reversed(self.raw))

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - as it is there
        value = self._first.get(key.lower().encode("latin-1"))
        return default if value is None else value.decode("latin-1")

    def __getitem__(self, key: str) -> str:
        return self._first[key.lower().encode("latin-1")].decode("latin-1")

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower().encode("latin-1") in self._first


class Http(Request):
    """One request and its answer, with who asks and the services that stand between.

    A request of our own, which FastAPI hands to a route as it is: as a dependency it would cost every request as much
    as the route itself. `api.http.routing` sets the caller and the deadline before there is a route.
    """

    caller: Caller
    deadline: Deadline

    def __init__(self, request: Request) -> None:
        super().__init__(request.scope, request.receive)
        self.services = services_of(self)
        self._headers = _Headers(self.scope)  # by this name, the framework's `headers` finds it and makes none
        self._answer_headers: dict[str, str] = {}
        self._answer_status: int | None = None

    async def call(self) -> Call:
        """What a change is asked with, beside its body.

        :raises ParameterError: the Idempotency-Key is none.
        """
        # Described in `api.http.openapi`: as parameters of the framework's, headers would take longer to read.
        key = self.headers.get(KEY_HEADER)
        if key is not None and not _KEY.fullmatch(key):
            mistake = FieldError(f"header.{KEY_HEADER}", f"must match {KEY_PATTERN}, like build-17")
            raise ParameterError("A parameter of the request is invalid.", errors=[mistake])
        return Call(
            caller=self.caller,
            request_id=self.state.request_id,
            deadline=self.deadline,
            fingerprint=await self._fingerprint() if key else "",
            idempotency_key=key,
            if_match=self.headers.get(MATCH_HEADER),
            client_address=self.client.host if self.client else None,
        )

    async def _fingerprint(self) -> str:
        query = "&".join(sorted(f"{name}={value}" for name, value in self.query_params.multi_items()))
        head = f"{self.method} {self.url.path}?{query}\n".encode()
        return hashlib.sha256(head + await self.body()).hexdigest()

    def complete(self, response: Response) -> Response:
        """The response with what was said of it meanwhile."""
        response.headers.update(self._answer_headers)
        if self._answer_status is not None:
            response.status_code = self._answer_status
        return response

    def note(self, done: Done[object]) -> None:
        """Say which operation it was, and whether it was done before."""
        self._answer_headers["operation-id"] = done.operation_id
        if done.is_replayed:
            self._answer_headers["idempotency-replayed"] = "true"

    async def read_back(self, asked: Awaitable[T], work: LongWork) -> T:
        """Long work, as it is read to be shown once a change of it is committed.

        :raises DatabaseError: it can't be read now, which undoes nothing.
        """
        try:
            return await asked
        except DatabaseError as error:
            text = f"It was done, and what became of the {work.kind} can't be shown: the database went away since."
            is_keyed = KEY_HEADER in self.headers
            raise DatabaseError(text, retry_after=error.retry_after, retryable=is_keyed, work=work) from error

    def mark_done(self) -> None:
        """200, where the route's own status is for what is only accepted."""
        self._answer_status = 200

    def attendance(self, work: LongWork | None = None, *, is_repeatable: bool = True) -> Attendance:
        """For an answer that takes long: whether anybody waits for it still.

        :param work: what can be looked at afterwards.
        :param is_repeatable: whether the request may be sent again as it is.
        """
        return Attendance(self, work, is_repeatable=is_repeatable)

    def unchecked(self, model: BaseModel, media_type: str = JSON) -> Response:
        """A 200 that is not held against the route's own model: it is of another, or asked for too often."""
        return Response(model.model_dump_json(), media_type=media_type)

    def set_location(self, path: str) -> None:
        self._answer_headers["location"] = path

    def never_stored(self) -> None:
        """The answer has a secret: no cache on the way may keep it."""
        self._answer_headers["cache-control"] = "no-store"

    def wants(self, media_type: str) -> bool:
        """Whether the caller prefers it to JSON."""
        return self.preferred(media_type) == media_type

    def preferred(self, *beside: str) -> str:
        """JSON, or what the caller would rather have of the types `beside` it."""
        self._answer_headers["vary"] = "Accept"
        return preferred(self.headers.get("accept", ""), (JSON, *beside))

    def etag(self, value: str) -> None:
        """Set the ETag of what is known by another validator than a hash of the answer."""
        self._answer_headers["etag"] = f'"{value}"'

    def tagged(self, model: M) -> M:
        """A single resource with its ETag."""
        self._answer_headers["etag"] = etag_of(model)
        return model

    def tagged_or_line(self, model: Model, *, line: str) -> Model | Response:
        """A single resource with its ETag; for `Accept: text/plain`, `line` alone."""
        self.tagged(model)
        return self.line(line) if self.wants(PLAIN) else model

    def line(self, text: str, status: int = 200) -> Response:
        """One line of text."""
        return PlainTextResponse(text + "\n", status)

    def event_stream(self, events: AsyncGenerator[Event]) -> StreamingResponse:
        """Events as they come, as long as anybody waits for them."""
        lines = lines_of(self.attendance().through(events))
        return StreamingResponse(lines, media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    def page(self, page: P) -> P:
        """A page, linked to the next one (RFC 8288)."""
        if page.next_cursor:
            following = self.url.include_query_params(cursor=page.next_cursor)
            # Relative: what a proxy in front is called, it knows best.
            self._answer_headers["link"] = f'<{quote(following.path)}?{following.query}>; rel="next"'
        return page
