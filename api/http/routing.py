"""Routes that are answered to holders of an API key alone."""

from collections.abc import Callable, Coroutine
from typing import Any, cast

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from api.http.answers import Http
from api.http.bodies import require_json
from api.http.deps import bearer_of, query_names, refuse_unknown_parameters
from api.http.negotiation import conform
from service.base.deadlines import Deadline, bounded
from service.base.errors import DeadlineError

Handler = Callable[[Http], Coroutine[Any, Any, Response]]


class KeyedRoute(APIRoute):
    """Looks at the key first: who has none learns nothing of body and parameters, which come before dependencies.

    A request has its deadline from here on, reading its body included.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = self.get_handler_for_caller()
        beside = self.openapi_extra or {}  # what a route reads by itself, the contract has from here
        known = query_names(self.dependant) | {one["name"] for one in beside.get("parameters", ())}
        takes_body = self.body_field is not None or "requestBody" in beside

        async def handle_for_caller(http: Http) -> Response:
            http.caller = await http.services.identity.authenticate(bearer_of(http))
            http.state.caller = http.caller  # where the log looks for it
            if http.scope["query_string"]:
                refuse_unknown_parameters(http, known)
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
    """For the way that is walked most: a route of `(body, http)`, and query parameters that may be left out.

    A request without parameters whose body is sound goes to it at once, past the framework, which would take longer
    than all the rest: there are no dependencies then, and the answer is the route's own. The framework has every other
    request, and so the last word on what is wrong with one.

    :raises TypeError: the route takes more than that, or answers a model.
    """

    def get_handler_for_caller(self) -> Handler:
        by_framework, endpoint = super().get_handler_for_caller(), self.endpoint
        _require_direct(self)
        model: type[BaseModel] = endpoint.__annotations__["body"]

        async def handle(http: Http) -> Response:
            if http.scope["query_string"]:
                return await by_framework(http)
            try:
                body = model.model_validate_json(await http.body())
            except (ValidationError, ClientDisconnect):  # that the caller has gone, the server says again when asked
                return await by_framework(http)
            return cast("Response", await endpoint(body, http))

        return handle


def _require_direct(route: APIRoute) -> None:
    dependant, answer = route.dependant, route.endpoint.__annotations__.get("return")
    others = (dependant.dependencies, dependant.path_params, dependant.header_params, dependant.cookie_params)
    is_direct = [one.name for one in dependant.body_params] == ["body"] and not any(others)
    if not is_direct or any(one.field_info.is_required() for one in dependant.query_params) or answer is not Response:
        raise TypeError(f"{route.name} takes more than a body, or answers no Response: it can't be a DirectRoute")
