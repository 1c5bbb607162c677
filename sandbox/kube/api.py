"""The Kubernetes API server of the sandbox: who asks, may they, and what of the store they get or change.

Reference: a real API server 1.34 for the kinds of `sandbox.kube.kinds`.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from sandbox.calls import Asked, Calls
from sandbox.faults import TRANSPORT, CutError, FaultError, Faults
from sandbox.kube import discovery, reads, reviews
from sandbox.kube.errors import StatusError, forbidden
from sandbox.kube.identity import Identity
from sandbox.kube.kinds import ACCESS_REVIEW
from sandbox.kube.request import Target, Verb, target_of, verb_of
from sandbox.kube.store import Store
from sandbox.kube.writes import Writes

Authenticate = Callable[[str | None], Identity]
"""Takes the bearer token, None where there is none; raises StatusError 401."""

_READING: dict[str, str] = {"list": "LIST", "watch": "WATCH"}


class KubeApi:
    """An ASGI application over the objects of one cluster.

    Operations are named by method and resource, `PATCH deployments`, `GET deployments/status`, with `LIST` and `WATCH`
    for the two kinds of GET that name no object; so they are noted in `calls` and met by `faults`.
    """

    def __init__(self, store: Store, authenticate: Authenticate, faults: Faults, calls: Calls) -> None:
        self._store = store
        self._authenticate = authenticate
        self._faults = faults
        self._calls = calls
        self._writes = Writes(store)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        asked = Asked("kube", f"{request.method} {request.url.path}")
        try:
            response = await self._noted(request, asked)
        except CutError as error:
            error.cut(scope[TRANSPORT])
            return
        await response(scope, receive, send)

    async def _noted(self, request: Request, asked: Asked) -> Response:
        """Answer between the points where faults befall, and note the call whatever becomes of it."""
        status = 0
        try:
            response = await self._met(request, asked)
            status = response.status_code
        except StatusError as error:
            asked.error, status = error.reason or str(error.code), error.code
            return JSONResponse(error.body(), error.code)
        finally:
            self._calls.note(asked, request.headers.get("user-agent", ""), status)
        return response

    async def _met(self, request: Request, asked: Asked) -> Response:
        act = self._prepare(request, asked)
        try:
            await self._faults.meet(asked.operation, "before")
            try:
                response = await act()
            except StatusError:  # an answer like any other
                await self._faults.meet(asked.operation, "after")
                raise
            await self._faults.meet(asked.operation, "after")
        except FaultError as fault:
            raise _refusal(fault) from fault
        return response

    def _prepare(self, request: Request, asked: Asked) -> Callable[[], Awaitable[Response]]:
        """What is to be done, with the request's name filled in before anything can fail."""
        path = request.url.path
        asked.parameters |= dict(request.query_params)
        if (document := discovery.answer(path)) is not None:
            return lambda: self._tell(request, asked, document)
        target = target_of(path)
        verb = verb_of(request, target)
        asked.operation = f"{_READING.get(verb, request.method)} {target.resource}"
        asked.parameters |= {"namespace": target.namespace, "name": target.name}
        return lambda: self._answer(request, asked, target, verb)

    async def _tell(self, request: Request, asked: Asked, document: Response) -> Response:
        if not discovery.is_health(request.url.path):
            self._identify(request, asked)
        return document

    async def _answer(self, request: Request, asked: Asked, target: Target, verb: Verb) -> Response:
        identity = self._identify(request, asked)
        if target.kind is ACCESS_REVIEW:
            return await reviews.answer(request, identity)
        _authorize(identity, target, verb)
        if verb == "get" and target.subresource != "scale":
            return reads.get(self._store, request, target)
        if verb == "list":
            return reads.list_(self._store, request, target)
        if verb == "watch":
            return reads.Watch(self._store, request, target)
        return await self._writes.answer(request, target, verb)

    def _identify(self, request: Request, asked: Asked) -> Identity:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        identity = self._authenticate(token.strip() if scheme.lower() == "bearer" else None)
        asked.principal = identity.username
        return identity


def _authorize(identity: Identity, target: Target, verb: Verb) -> None:
    """:raises StatusError: 403, none of the identity's grants allows it."""
    kind = target.kind
    if identity.may(verb, kind.group, target.resource, target.scope):
        return
    why = f'User "{identity.username}" cannot {verb} resource "{target.resource}" in API group "{kind.group}"'
    place = f'in the namespace "{target.namespace}"' if target.namespace else "at the cluster scope"
    raise forbidden(kind.plural, kind.group, target.name or "", f"{why} {place}")


def _refusal(fault: FaultError) -> StatusError:
    reasons = {429: "TooManyRequests", 500: "InternalError"}
    return StatusError(fault.status, reasons.get(fault.status, "Unknown"), f"the sandbox was asked to fail: {fault}")
