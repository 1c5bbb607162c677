"""Routes that are answered to holders of an API key alone."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from api.bodies import require_json
from api.deps import bearer_of, refuse_unknown_parameters, services_of
from api.negotiation import conform


class KeyedRoute(APIRoute):
    """Looks at the key first: who has none learns nothing of body and parameters, which come before dependencies."""

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

        return handle_for_caller
