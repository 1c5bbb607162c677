"""The ASGI application of one account and Region: AWS's APIs, the OCI registry and the sandbox's own controls."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sandbox import controls
from sandbox.aws import api as aws
from sandbox.aws.ecr.registry import Registry
from sandbox.aws.eks.access_entries import AccessEntries
from sandbox.aws.eks.api import Eks
from sandbox.aws.eks.nodes import NodeSources
from sandbox.aws.eks.shapes import ClusterFacts
from sandbox.aws.identities import Identities
from sandbox.aws.issuer import Issuer
from sandbox.calls import Asked, Calls
from sandbox.faults import TRANSPORT, CutError, FaultError, Faults
from sandbox.oci import api as oci
from sandbox.oci.errors import of_ecr
from sandbox.places import Hosts, Place
from sandbox.state import State


@dataclass(frozen=True, slots=True)
class World:
    """What the applications of all accounts and Regions share."""

    state: State
    identities: Identities
    issuer: Issuer
    hosts: Hosts
    calls: Calls
    faults: Faults
    cluster: ClusterFacts
    access_entries: AccessEntries
    node_sources: NodeSources

    def eks(self, place: Place) -> Eks:
        facts = self.cluster if place == self.cluster.place else None
        return Eks(place, facts, self.access_entries, self.node_sources)

    def registry(self, place: Place) -> Registry:
        """Any account's: where the sandbox has none, there is nothing in it, and no policy that lets others in."""
        return Registry(self.state, place, self.hosts.of(place), self.hosts.layers)


class Application:
    """Answers at the port of one place."""

    def __init__(self, world: World, place: Place) -> None:
        self._world = world
        self._place = place
        self._aws = aws.Aws(
            identities=world.identities,
            issuer=world.issuer,
            registries=world.registry,
            clusters=world.eks(place),
            place=place,
            calls=world.calls,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._answer(Request(scope, receive))
        except CutError as error:
            error.cut(scope[TRANSPORT])
            return
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        if path.startswith("/_sandbox/"):
            return await controls.answer(request, self._world.faults, self._world.calls, self._world.issuer)
        if path.startswith("/v2/"):
            return await self._registry(request)
        sent = await aws.read(request)
        return await self._noted(
            request, sent.asked, lambda: self._aws.answer(sent), lambda fault: self._aws.refuse(sent, fault)
        )

    async def _registry(self, request: Request) -> Response:
        asked = oci.asked_by(request)
        registry = self._world.registry(self._place)
        return await self._noted(
            request,
            asked,
            lambda: oci.answer(request, registry, self._world.identities, asked),
            lambda fault: of_ecr(fault.code, str(fault)).to_response(),
        )

    async def _noted(
        self,
        request: Request,
        asked: Asked,
        act: Callable[[], Awaitable[Response]],
        refuse: Callable[[FaultError], Response],
    ) -> Response:
        """Answer between the points where faults befall, and note the call whatever becomes of it."""
        status = 0
        try:
            await self._world.faults.meet(asked.operation, "before")
            response = await act()
            status = response.status_code
            await self._world.faults.meet(asked.operation, "after")
        except FaultError as fault:
            asked.error, status = fault.code, fault.status
            return refuse(fault)
        finally:
            self._world.calls.note(asked, request.headers.get("user-agent", ""), status, self._place)
        return response
