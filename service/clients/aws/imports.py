"""Reads that may import: where a rule of the pull-through cache covers a repository, they fetch from its upstream.

They may even create the repository. An open operation may do that, as its row says so; outside of one they are sent
only for a name that no rule covers.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from service.base.clock import utcnow
from service.base.errors import MayImportError, WharfingerError
from service.base.permits import permit
from service.clients.aws.reads import MAY_IMPORT
from service.clients.aws.translation import translated

if TYPE_CHECKING:
    from types_aiobotocore_ecr import ECRClient

ROOT = "ROOT"
"""The prefix of a rule that covers every name which no other covers."""
_KNOWN_FOR = timedelta(minutes=1)
"""A rule that was made since is not known: until then a read may import by it."""
_NOT_ASKED_FOR = timedelta(seconds=10)
"""After the rules could not be read."""


def guard_imports(ecr: "ECRClient") -> None:
    """Stand before the requests of a client that may import."""
    rules = CacheRules(ecr)

    async def require(params: Mapping[str, Any], **_: object) -> None:
        if permit.get() is None:
            await rules.require_uncovered(params["repositoryName"])

    for operation in MAY_IMPORT:
        ecr.meta.events.register(f"before-parameter-build.ecr.{operation}", require)


class CacheRules:
    """The pull-through cache rules of a registry, as far as they say which names they cover."""

    def __init__(self, ecr: "ECRClient") -> None:
        self._ecr = ecr
        self._one_at_a_time = asyncio.Lock()
        self._known: frozenset[str] | WharfingerError = frozenset()
        self._good_until = datetime.min.replace(tzinfo=UTC)

    async def require_uncovered(self, repository: str) -> None:
        """:raises MayImportError: a rule covers the name, or whether one does can't be told."""
        prefixes = await self._prefixes()
        if isinstance(prefixes, WharfingerError):
            detail = f"Whether a cache rule covers {repository} can't be told, so its manifest is not read."
            raise MayImportError(f"{detail} {prefixes.detail}", code="cache_rules_unknown") from prefixes
        if covering := [one for one in prefixes if one == ROOT or repository.startswith(f"{one}/")]:
            named = next((one for one in covering if one != ROOT), ROOT)
            raise MayImportError(
                f"The cache rule {named} covers {repository}: its manifest is read by no more than an operation, "
                "as that may import from the upstream."
            )

    async def _prefixes(self) -> frozenset[str] | WharfingerError:
        async with self._one_at_a_time:
            if utcnow() >= self._good_until:
                try:
                    self._known, good_for = await self._read(), _KNOWN_FOR
                except WharfingerError as error:
                    self._known, good_for = error, _NOT_ASKED_FOR
                self._good_until = utcnow() + good_for
            return self._known

    async def _read(self) -> frozenset[str]:
        with translated("DescribePullThroughCacheRules"):
            pages = self._ecr.get_paginator("describe_pull_through_cache_rules").paginate()
            rules = [one async for page in pages for one in page["pullThroughCacheRules"]]
            return frozenset(one["ecrRepositoryPrefix"].rstrip("/") for one in rules)
