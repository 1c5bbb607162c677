"""Get, list and watch."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from sandbox.kube import tables
from sandbox.kube.errors import StatusError, bad_request, expired
from sandbox.kube.kinds import Kind
from sandbox.kube.request import Target
from sandbox.kube.selectors import Selects, selector
from sandbox.kube.store import Change, Object, Store

_LONGEST_WATCH = 3600
"""Seconds; a real server ends a watch that names no time after 30 to 60 minutes."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """How the client wants objects: themselves, or as rows of a table."""

    kind: Kind
    is_table: bool

    def one(self, live: Object) -> Object:
        return tables.table(self.kind, [live], {}) if self.is_table else whole(self.kind, live)

    def many(self, live: list[Object], metadata: Object) -> Object:
        if self.is_table:
            return tables.table(self.kind, live, metadata)
        items = [{key: value for key, value in one.items() if key not in ("kind", "apiVersion")} for one in live]
        return {
            "kind": f"{self.kind.name}List",
            "apiVersion": self.kind.api_version,
            "metadata": metadata,
            "items": items,
        }


def whole(kind: Kind, live: Object) -> Object:
    return {"kind": kind.name, "apiVersion": kind.api_version, **live}


def get(store: Store, request: Request, target: Target) -> Response:
    """:raises StatusError: 404, there is none."""
    live = store.get(target.kind, target.namespace, target.name or "")
    return JSONResponse(_shape(request, target).one(live))


def list_(store: Store, request: Request, target: Target) -> Response:
    """Always whole: `limit` need not be heeded.

    :raises StatusError: 400, a selector cannot be read.
    """
    live = list(store.all(target.kind, target.namespace, _selector(request, target.kind)))
    return JSONResponse(_shape(request, target).many(live, {"resourceVersion": str(store.revision)}))


class Watch(Response):
    """One JSON object a line, until the time is over or the client has gone."""

    def __init__(self, store: Store, request: Request, target: Target) -> None:
        """:raises StatusError: 400, a selector cannot be read; 410, the revision to begin after is forgotten."""
        super().__init__(media_type="application/json")
        query = request.query_params
        self._store = store
        self._kind = target.kind
        self._namespace = target.namespace
        self._selects = _selector(request, target.kind)
        self._shape = _shape(request, target)
        self._seconds = _number(query.get("timeoutSeconds")) or _LONGEST_WATCH
        self._since = _revision(query.get("resourceVersion") or "0")
        if self._since and self._since < store.oldest:
            raise expired(self._since, store.oldest)
        # Where the client named no revision: it sees what there is, as of now, and then what follows.
        self._begins_at = self._since or store.revision
        self._initial = [] if self._since else list(store.all(self._kind, self._namespace, self._selects))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-cache, private")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        # An empty chunk first: the client has the headers before anything has changed.
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        async for event in self._events():
            line = json.dumps(event, separators=(",", ":")).encode() + b"\n"
            await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events(self) -> AsyncIterator[Object]:
        for live in self._initial:
            yield {"type": "ADDED", "object": self._shape.one(live)}
        changes = self._store.watch(self._begins_at)
        end = asyncio.get_running_loop().time() + self._seconds
        try:
            while (change := await _next(changes, end)) is not None:
                if event := self._event(change):
                    yield event
        except StatusError as error:
            yield {"type": "ERROR", "object": error.body()}
            return

    def _event(self, change: Change) -> Object | None:
        """What the change looks like to one who sees only what the selectors select."""
        if change.kind is not self._kind or self._namespace not in (None, change.object["metadata"].get("namespace")):
            return None
        was = change.before is not None and self._selects(change.before)
        is_ = change.type != "DELETED" and self._selects(change.object)
        if not was and not is_:
            return None
        seen = "MODIFIED" if was and is_ else "ADDED" if is_ else "DELETED"
        return {"type": seen, "object": self._shape.one(change.object)}


async def _next(changes: AsyncIterator[Change], end: float) -> Change | None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(end):
            return await anext(changes)
    return None


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _shape(request: Request, target: Target) -> _Shape:
    return _Shape(target.kind, "as=Table" in request.headers.get("accept", ""))


def _selector(request: Request, kind: Kind) -> Selects:
    query = request.query_params
    return selector(kind, query.get("labelSelector", ""), query.get("fieldSelector", ""))


def _number(text: str | None) -> int:
    if text and not text.isdecimal():
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text or 0)


def _revision(text: str) -> int:
    if not text.isdecimal():
        raise bad_request(f'invalid resource version: "{text}"')
    return int(text)
