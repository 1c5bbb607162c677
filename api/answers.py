"""How answers are put: entity tags, links to the next page, replays, plain text for a shell."""

from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from fastapi import Depends, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from api.attendance import Attendance
from api.deps import call_of, caller_of, services_of
from api.negotiation import JSON, preferred
from service.ledger import Call, Done
from service.resources import Model, Page, etag_of

PLAIN = "text/plain"
PLAIN_TEXT: dict[int | str, dict[str, Any]] = {
    # JSON first: generated clients read what is named first.
    200: {"content": {"application/json": {}, "text/plain": {"schema": {"type": "string"}}}},
}
"""Beside the JSON of a 200: the one line that a shell wants."""
TAGGED: dict[int | str, dict[str, Any]] = {304: {"description": "It is still as `If-None-Match` has it"}}
"""Of what is read with an ETag."""


M = TypeVar("M", bound=Model)
P = TypeVar("P", bound=Page)


class Exchange:
    """One request and its answer, with who asks and the services that stand between."""

    def __init__(self, request: Request, response: Response) -> None:
        self._request = request
        self._response = response
        self._headers = response.headers
        self.services = services_of(request)
        self.caller = caller_of(request)

    async def call(self) -> Call:
        """What a change is asked with.

        :raises ParameterError: the Idempotency-Key is none.
        """
        return await call_of(self._request)

    def note(self, done: Done) -> None:
        """Say which operation it was, and whether it was done before."""
        self._headers["Operation-Id"] = done.operation_id
        if done.is_replayed:
            self._headers["Idempotency-Replayed"] = "true"

    def mark_done(self) -> None:
        """200, where the route's own status is for what is only accepted."""
        self._response.status_code = 200

    def attendance(self, where: str | None = None, *, is_repeatable: bool = True) -> Attendance:
        """For an answer that takes long: whether anybody waits for it still.

        :param where: the path at which the work can be looked at afterwards.
        :param is_repeatable: whether the request may be sent again as it is.
        """
        return Attendance(self._request, where, is_repeatable=is_repeatable)

    def json(self, model: BaseModel) -> Response:
        """A 200 of another kind than the route's own."""
        return Response(model.model_dump_json(), headers=self.headers, media_type=JSON)

    def created_at(self, path: str) -> None:
        self._headers["Location"] = path

    def never_stored(self) -> None:
        """The answer has a secret: no cache on the way may keep it."""
        self._headers["Cache-Control"] = "no-store"

    def wants(self, media_type: str) -> bool:
        """Whether the caller prefers it to JSON."""
        return self.preferred(media_type) == media_type

    def preferred(self, *beside: str) -> str:
        """JSON, or what the caller would rather have of the types `beside` it."""
        self._headers["Vary"] = "Accept"
        return preferred(self._request.headers.get("accept", ""), (JSON, *beside))

    @property
    def headers(self) -> dict[str, str]:
        return dict(self._headers)

    def etag(self, value: str) -> None:
        """Set the ETag of what is known by another validator than a hash of the answer."""
        self._headers["ETag"] = f'"{value}"'

    def tagged(self, model: M) -> M:
        """A single resource with its ETag."""
        self._headers["ETag"] = etag_of(model)
        return model

    def tagged_or_line(self, model: Model, *, line: str) -> Model | Response:
        """A single resource with its ETag; for `Accept: text/plain`, `line` alone."""
        self.tagged(model)
        return self.line(line) if self.wants(PLAIN) else model

    def line(self, text: str, status: int = 200) -> Response:
        """One line of text, with the headers set so far."""
        return PlainTextResponse(text + "\n", status, headers=self.headers)

    def page(self, page: P) -> P:
        """A page, linked to the next one (RFC 8288)."""
        if page.next_cursor:
            following = self._request.url.include_query_params(cursor=page.next_cursor)
            # Relative: what a proxy in front is called, it knows best.
            self._headers["Link"] = f'<{quote(following.path)}?{following.query}>; rel="next"'
        return page


# The one dependency of nearly every route, and a coroutine: FastAPI resolves each anew wherever it is named, and sends
# plain functions through a thread pool. With a tree of thirteen a vend took twice as long.
async def exchange(request: Request, response: Response) -> Exchange:
    return Exchange(request, response)


Http = Annotated[Exchange, Depends(exchange)]
