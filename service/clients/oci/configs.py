"""Configs of images, downloaded from where their registry says: somebody pushed them, so they may be of any size."""

import ssl
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from service.base.errors import AwsUnavailableError
from service.base.untrusted import NotJsonError, read_json

_SECONDS = 10.0
_MOST_BYTES = 4 * 1024 * 1024
"""As much as registries take for a manifest; configs of real images have some kilobytes."""
_PART_BYTES = 65_536


class Configs:
    """Reads configs for all registries of the process. It has no credentials, keeps no cookies, is led nowhere else."""

    def __init__(self) -> None:
        self._opened: httpx.AsyncClient | None = None

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.aclose()

    async def read(self, url: str) -> object:
        """The document at `url`, or None where that is no JSON or too much of it.

        :raises AwsUnavailableError: it could not be had.
        """
        content = bytearray()
        try:
            async with self._http().stream("GET", url) as answer:
                answer.raise_for_status()
                async for part in answer.aiter_bytes(_PART_BYTES):
                    content += part
                    if len(content) > _MOST_BYTES:
                        return None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise AwsUnavailableError("The image's config could not be read.", retry_after=5) from error
        return _json(bytes(content))

    def _http(self) -> httpx.AsyncClient:
        """Opened for the first config: its transport and whom to trust take 50 ms to load, for which no start waits."""
        if self._opened is None:
            no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
            self._opened = httpx.AsyncClient(timeout=_SECONDS, verify=_trust(), cookies=no_cookies)
        return self._opened


def _json(content: bytes) -> object:
    try:
        return read_json(content)
    except NotJsonError:
        return None


@cache
def _trust() -> ssl.SSLContext:
    """Whom to believe, for as long as the process lives, as the SDK's clients have it too: reading it takes a while."""
    return httpx.create_ssl_context()
