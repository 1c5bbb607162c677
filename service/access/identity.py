"""API keys: who is calling, proven by the SHA-256 of what they hold."""

import asyncio
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import structlog
from sqlalchemy import bindparam, or_, select, update

from service.access.actions import Role
from service.access.authz import Binding, Caller
from service.base.batching import Batcher
from service.base.clock import utcnow
from service.base.db import Database
from service.base.errors import DatabaseError, UnauthenticatedError
from service.base.tables import key_secrets, keys

KEY_PREFIX = "whf_"
_KEY = re.compile(r"whf_[A-Za-z0-9_-]{43}")
_NOTE_USE_EVERY = timedelta(minutes=1)
# Made once: to put it together takes longer than to ask it.
_BY_SECRET = (
    select(keys, key_secrets.c.sha256, key_secrets.c.expires_at.label("secret_expires_at"))
    .join_from(key_secrets, keys)
    .where(key_secrets.c.sha256.in_(bindparam("hashes", expanding=True)))
)

log = structlog.get_logger()


def new_secret() -> str:
    """A new API key: 256 random bits, so that a plain SHA-256 is enough to store."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def hash_secret(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def is_well_formed(secret: str) -> bool:
    return _KEY.fullmatch(secret) is not None


def operator(name: Literal["cli", "bootstrap"]) -> Caller:
    """Who works on the database itself, from a shell or the settings: they are past any key, and an admin."""
    return Caller(name, name, (Binding(role=Role.ADMIN),))


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    ends: tuple[datetime, ...]
    last_used_at: datetime | None


class Identity:
    """Tells the caller by their key. Nothing is cached: a key revoked on another replica is refused at once.

    Look-ups of concurrent requests share one query, so freshness costs little under load.
    """

    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._lookups: Batcher[str, _Known | None] = Batcher(self._look_up)
        self._used: set[str] = set()
        self._noting: asyncio.Task[None] | None = None

    async def authenticate(self, secret: str | None) -> Caller:
        """The caller who holds `secret`.

        :raises UnauthenticatedError: none, malformed, unknown, expired or revoked; it does not tell which.
        """
        known = await self._lookups.submit(hash_secret(secret)) if secret and is_well_formed(secret) else None
        now = utcnow()
        if known is None or any(end <= now for end in known.ends):
            raise UnauthenticatedError("Send a valid API key as `Authorization: Bearer whf_…`.")
        if known.last_used_at is None or known.last_used_at <= now - _NOTE_USE_EVERY:
            self._note_use(known.caller.id)
        return known.caller

    async def close(self) -> None:
        """Let the note that is under way be written."""
        if self._noting is not None:
            # Its failure is in the log; what is closed after this must be closed all the same.
            await asyncio.wait([self._noting])

    async def _look_up(self, hashes: Sequence[str]) -> Sequence[_Known | None]:
        rows = await self._database.fetch(_BY_SECRET, {"hashes": list(set(hashes))})
        known = {
            row.sha256: _Known(
                Caller(row.id, row.label, tuple(Binding.model_validate(binding) for binding in row.bindings)),
                tuple(end for end in (row.secret_expires_at, row.expires_at, row.revoked_at) if end is not None),
                row.last_used_at,
            )
            for row in rows
        }
        return [known.get(digest) for digest in hashes]

    def _note_use(self, key_id: str) -> None:
        """Beside the request: whoever asks need not wait for the database's writer, nor for its absence."""
        self._used.add(key_id)
        if self._noting is None or self._noting.done():
            self._noting = asyncio.create_task(self._write_uses())

    async def _write_uses(self) -> None:
        while self._used:
            used, now = self._used.copy(), utcnow()
            stale = or_(keys.c.last_used_at.is_(None), keys.c.last_used_at <= now - _NOTE_USE_EVERY)
            try:
                async with self._database.write() as connection:
                    await connection.execute(update(keys).where(keys.c.id.in_(used), stale).values(last_used_at=now))
            except DatabaseError:
                log.warning("last_use_not_noted", keys=sorted(used))
            self._used -= used
