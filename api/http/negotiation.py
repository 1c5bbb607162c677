"""Which representation a caller wants (RFC 9110, section 12.5.1), and whether they have it already (13.1.2)."""

from collections.abc import Sequence

from fastapi import Request, Response

JSON = "application/json"
_OF_NOT_MODIFIED = ("etag", "cache-control", "vary", "operation-id")


def preferred(accept: str, offered: Sequence[str]) -> str:
    """The one of `offered` that `accept` weighs most; of equals, the one it names most closely, then the first."""
    # Nearly all say one of these, and a vend need not wait for more.
    if accept in ("", "*/*"):
        return offered[0]
    if accept in offered:
        return accept
    ranges = [_weighed(one) for one in accept.lower().split(",")]
    # Where nothing fits, the first is still of more use than a refusal.
    return max(offered, key=lambda media_type: _weight(media_type, ranges))


def _weighed(text: str) -> tuple[str, float]:
    name, *parameters = (part.strip() for part in text.split(";"))
    weights = [part[2:] for part in parameters if part.startswith("q=")]
    try:
        return name, float(weights[0]) if weights else 1.0
    except ValueError:
        return name, 0.0


def _weight(media_type: str, ranges: Sequence[tuple[str, float]]) -> tuple[float, int]:
    forms = ("*/*", media_type.partition("/")[0] + "/*", media_type)
    fitting = [(forms.index(name), weight) for name, weight in ranges if name in forms]
    closeness, weight = max(fitting, default=(0, 0.0))
    # What is ruled out (`q=0`) is named closely too, and no better for that than what is not named.
    return weight, closeness if weight else 0


def conform(request: Request, response: Response) -> Response:
    """The response as it is due: 304 where the caller has it, and no content type where there is no content."""
    if response.status_code == 204:  # noqa: PLR2004 - RFC 9110, section 15.3.5
        del response.headers["content-type"]
        return response
    if request.method == "GET" and response.status_code == 200 and _has(request, response.headers.get("etag")):  # noqa: PLR2004
        kept = {name: response.headers[name] for name in _OF_NOT_MODIFIED if name in response.headers}
        return Response(status_code=304, headers=kept)
    return response


def _has(request: Request, etag: str | None) -> bool:
    """Compared weakly: a proxy that compresses makes a strong tag a weak one (RFC 9110, section 8.8.3.2)."""
    known = request.headers.get("if-none-match")
    if known is None or etag is None:
        return False
    return known.strip() == "*" or etag in [one.strip().removeprefix("W/") for one in known.split(",")]
