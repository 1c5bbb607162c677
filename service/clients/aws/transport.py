"""How requests go out to AWS: a change not past the term of its permit, once more looked at when a connection is there.

The guard looks before each attempt, when it is signed. It may have waited since: in the queue of connections, for a
handshake, or with the whole process. From here on, what is left is to write it.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiobotocore.httpsession import AIOHTTPSession

from service.base.errors import DeadlineError
from service.base.permits import permit
from service.clients.aws.guard import OPERATION_IN_USER_AGENT

if TYPE_CHECKING:
    from aiohttp import ClientRequest
    from aiohttp.connector import Connection

    Connect = Callable[..., Awaitable[Connection]]


class TimelySession(AIOHTTPSession):  # type: ignore[misc] # aiobotocore has no types
    """Looks as a connection is given: botocore has no event this late, and aiohttp's traces take a tenth of a request.

    `_create_connector` is aiobotocore's own: `tests/service/clients/test_guard.py` fails where an upgrade moves it.
    """

    def _create_connector(self, proxy_url: str | None) -> Any:  # noqa: ANN401 - as above
        connector = super()._create_connector(proxy_url)
        connector.connect = _in_time(connector.connect)
        return connector


def _in_time(connect: "Connect") -> "Connect":
    async def connected(request: "ClientRequest", **given: Any) -> "Connection":  # noqa: ANN401 - passed on
        connection = await connect(request, **given)
        try:
            _require_time(request)
        except DeadlineError:
            connection.release()
            raise
        return connection

    return connected


def _require_time(request: "ClientRequest") -> None:
    """Of a change, which the guard has marked by the operation's id; a read goes out whatever the time.

    :raises DeadlineError: the permit's term is over.
    """
    current = permit.get()
    if current is not None and OPERATION_IN_USER_AGENT in request.headers.get("User-Agent", ""):
        current.require_time()
