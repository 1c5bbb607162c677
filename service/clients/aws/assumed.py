"""The session under a registry's role: renewed before it ends, and anew where AWS says that it has ended already."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from aiobotocore.credentials import AioDeferredRefreshableCredentials

_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException"})
_AT_MOST_EVERY = 5.0
"""Seconds: of many requests that find the session ended, the first has it renewed for all."""


class Assumed(AioDeferredRefreshableCredentials):  # type: ignore[misc] # botocore has no types
    """Credentials that are assumed anew by the clock of this machine, or once `forget` was called."""

    METHOD = "assume-role"

    def __init__(self, assume: Callable[[], Any]) -> None:
        super().__init__(refresh_using=assume, method=self.METHOD)
        self._forgotten_at = float("-inf")

    @property
    def ends_at(self) -> datetime | None:
        """When the session ends that was used last; None before the first."""
        ends: datetime | None = self._expiry_time
        return ends

    def forget(self) -> None:
        """AWS's clock is ahead of ours, or the session was ended: what we hold is good for nothing."""
        now = asyncio.get_running_loop().time()
        if now - self._forgotten_at >= _AT_MOST_EVERY:
            self._forgotten_at = now
            self._frozen_credentials = None

    def renew_expired(self, response: tuple[Any, Mapping[str, Any]] | None, attempts: int, **_: object) -> int | None:
        """Handles `needs-retry`: a refusal because the session has ended is asked again once, at once, with another."""
        if response is None or attempts > 1 or response[1].get("Error", {}).get("Code") not in _EXPIRED:
            return None
        self.forget()
        return 0
