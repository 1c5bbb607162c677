"""Counts requests to Kubernetes APIs by verb, resource and outcome."""

import httpx2

from service.base.errors import DeadlineError
from service.base.telemetry import CLUSTER_CALLS

_VERBS = {"GET": "get", "PATCH": "apply", "POST": "create", "DELETE": "delete"}
_OUTCOMES = {404: "missing", 409: "conflict"}
_REFUSED, _SERVER_ERROR = 400, 500


class CountingTransport(httpx2.AsyncBaseTransport):
    """Counts what passes through it, each attempt by itself; not what was held back, as that was never sent."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        labels = _verb(request), resource_of(request.url.path)
        try:
            response = await self._inner.handle_async_request(request)
        except DeadlineError:
            raise
        except Exception:
            CLUSTER_CALLS.labels(*labels, "lost").inc()
            raise
        CLUSTER_CALLS.labels(*labels, _outcome(response.status_code)).inc()
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


def resource_of(path: str) -> str:
    """The plural of a path of the API: `/api/v1/namespaces/NAMESPACE/pods/NAME` or `/apis/GROUP/VERSION/nodes`.

    https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris
    """
    parts = path.strip("/").split("/")
    below = parts[2:] if parts[0] == "api" else parts[3:]
    if below[:1] == ["namespaces"] and len(below) > 2:  # noqa: PLR2004 - the word, the namespace, and what is in it
        below = below[2:]
    return below[0] if below else "none"


def _verb(request: httpx2.Request) -> str:
    if "watch" in request.url.params:
        return "watch"
    return _VERBS.get(request.method, "other")


def _outcome(status: int) -> str:
    if status < _REFUSED:
        return "ok"
    return _OUTCOMES.get(status, "failed" if status >= _SERVER_ERROR else "refused")
