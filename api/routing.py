"""Routes that are answered to holders of an API key alone."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from api.deps import refuse_unknown_parameters, services_of


class KeyedRoute(APIRoute):
    """Looks at the key first: who has none learns nothing of body and parameters, which come before dependencies."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_for_caller(request: Request) -> Response:
            scheme, _, secret = request.headers.get("authorization", "").partition(" ")
            is_bearer = scheme.lower() == "bearer"
            identity = services_of(request).identity
            request.state.caller = await identity.authenticate(secret.strip() if is_bearer else None)
            if request.scope["query_string"]:
                await refuse_unknown_parameters(request)
            return await handle(request)

        return handle_for_caller
