"""API keys put straight into the database, where a test's subject is not how keys are made."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import insert

from service.access.authz import Binding
from service.access.identity import hash_secret, new_secret
from service.base.clock import new_id, utcnow
from service.base.db import Database
from service.base.tables import key_secrets, keys


async def store(
    database: Database,
    label: str,
    bindings: Sequence[Binding],
    *,
    expires_at: datetime | None = None,
    is_written_out: bool = True,
) -> str:
    """Store a key and give its secret. Its last use is noted, so that authenticating does not write."""
    secret, now = new_secret(), utcnow()
    key = {
        "id": new_id(),
        "label": label,
        "bindings": [binding.model_dump(mode="json") for binding in bindings],
        "created_at": now,
        "created_by": "test",
        "is_written_out": is_written_out,
        "expires_at": expires_at,
        "last_used_at": now,
    }
    async with database.write() as connection:
        await connection.execute(insert(keys).values(key))
        await connection.execute(
            insert(key_secrets).values(sha256=hash_secret(secret), key_id=key["id"], created_at=now)
        )
    return secret
