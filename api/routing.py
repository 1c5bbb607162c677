"""Routes that are answered to holders of an API key alone."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from api.bodies import require_json
from api.deps import bearer_of, refuse_unknown_parameters, services_of
from api.negotiation import conform
from service.clock import Deadline, bounded
from service.errors import DeadlineError


class KeyedRoute(APIRoute):
    """Looks at the key first: who has none learns nothing of body and parameters, which come before dependencies.

    A request has its deadline from here on, reading its body included.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        takes_body = self.body_field is not None or "requestBody" in (self.openapi_extra or {})

        async def handle_for_caller(request: Request) -> Response:
            request.state.caller = await services_of(request).identity.authenticate(bearer_of(request))
            if request.scope["query_string"]:
                await refuse_unknown_parameters(request)
            if takes_body:
                require_json(request)
            return conform(request, await handle(request))

        async def handle_in_time(request: Request) -> Response:
            request.state.deadline = Deadline.after(services_of(request).settings.deadlines.request)
            try:
                async with bounded(request.state.deadline):
                    return await handle_for_caller(request)
            except TimeoutError as error:
                raise DeadlineError("The request's time was up, and nothing was changed.", retry_after=5) from error

        return handle_in_time
