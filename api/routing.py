"""Routes that are answered to holders of an API key alone."""

from collections.abc import Callable, Coroutine
from typing import Any, cast

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from api.answers import Http
from api.bodies import require_json
from api.deps import bearer_of, refuse_unknown_parameters
from api.negotiation import conform
from service.clock import Deadline, bounded
from service.errors import DeadlineError

Handler = Callable[[Any], Coroutine[Any, Any, Response]]


class KeyedRoute(APIRoute):
    """Looks at the key first: who has none learns nothing of body and parameters, which come before dependencies.

    A request has its deadline from here on, reading its body included.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = self.get_handler_for_caller()
        takes_body = self.body_field is not None or "requestBody" in (self.openapi_extra or {})

        async def handle_for_caller(http: Http) -> Response:
            # Also of the connection's state, where the log finds it.
            http.caller = http.state.caller = await http.services.identity.authenticate(bearer_of(http))
            if http.scope["query_string"]:
                await refuse_unknown_parameters(http)
            if takes_body:
                require_json(http)
            return conform(http, http.complete(await handle(http)))

        async def handle_in_time(request: Request) -> Response:
            http = Http(request)
            http.deadline = Deadline.after(http.services.settings.deadlines.request)
            try:
                async with bounded(http.deadline):
                    return await handle_for_caller(http)
            except TimeoutError as error:
                raise DeadlineError("The request's time was up, and nothing was changed.", retry_after=5) from error

        return handle_in_time

    def get_handler_for_caller(self) -> Handler:
        """What answers a request once the caller is known."""
        return super().get_route_handler()


class DirectRoute(KeyedRoute):
    """For the way that is walked most: a route that takes `(body, http)`, and parameters that may be left out.

    A request without parameters whose body is sound needs nothing of the framework, which would take longer than all
    the rest. It has every other request, and so the last word on what is wrong with one.
    """

    def get_handler_for_caller(self) -> Handler:
        by_framework, endpoint = super().get_handler_for_caller(), self.endpoint
        model: type[BaseModel] = endpoint.__annotations__["body"]

        async def handle(http: Http) -> Response:
            if http.scope["query_string"]:
                return await by_framework(http)
            try:
                body = model.model_validate_json(await http.body())
            except (ValidationError, ClientDisconnect):
                return await by_framework(http)
            return cast("Response", await endpoint(body, http))

        return handle
