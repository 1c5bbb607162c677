"""The sandbox's own controls, at `/_sandbox/`: faults, holds, the call log and the clock, for other processes."""

import asyncio
import json
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from sandbox.aws.issuer import Issuer
from sandbox.calls import Calls
from sandbox.clock import CLOCK
from sandbox.faults import Fault, Faults, Hold

_LONGEST_WAIT = 60.0


async def answer(request: Request, faults: Faults, calls: Calls, issuer: Issuer) -> Response:  # noqa: PLR0911 - a table
    """`GET calls`; `POST faults`, `DELETE faults`; `GET faults/ID?wait=SECONDS`; `POST faults/ID/release|drop`.

    `GET clock`; `POST clock` with the `seconds` that it is to be put forward by.
    `GET token/NAMESPACE/NAME` of a service account.
    """
    match request.method, request.url.path.strip("/").split("/")[1:]:
        case "GET", ["calls"]:
            return JSONResponse([call.to_json() for call in calls.all()])
        case "GET" | "POST" as method, ["clock"]:
            return _advance(await request.body()) if method == "POST" else _time()
        case "GET", ["token", namespace, name]:
            return PlainTextResponse(issuer.token(namespace, name))
        case "POST", ["faults"]:
            return _add(await request.body(), faults)
        case "DELETE", ["faults"]:
            faults.clear()
            return Response(status_code=204)
        case "GET", ["faults", number] if hold := _hold(faults, number):
            seconds = min(float(request.query_params.get("wait", "0")), _LONGEST_WAIT)
            return JSONResponse({"is_reached": await asyncio.to_thread(hold.reached, seconds)})
        case "POST", ["faults", number, "release" | "drop" as verb] if hold := _hold(faults, number):
            hold.release() if verb == "release" else hold.drop()
            return Response(status_code=204)
        case _:
            return JSONResponse({"error": "no such control"}, 404)


def _time() -> Response:
    return JSONResponse({"now": CLOCK.now().isoformat()})


def _advance(body: bytes) -> Response:
    try:
        CLOCK.advance(timedelta(seconds=json.loads(body)["seconds"]))
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        return JSONResponse({"error": f"seconds is to be a number of seconds, 0 or more: {error!r}"}, 400)
    return _time()


def _add(body: bytes, faults: Faults) -> Response:
    try:
        fault: Fault = faults.add(**json.loads(body))
    except (TypeError, ValueError) as error:
        return JSONResponse({"error": str(error)}, 400)
    return JSONResponse({"id": fault.id}, 201)


def _hold(faults: Faults, number: str) -> Hold | None:
    fault = faults.get(int(number)) if number.isdigit() else None
    return fault if isinstance(fault, Hold) else None
