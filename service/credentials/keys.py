"""API keys: made, listed, rotated with an overlap, revoked. A secret is shown once and kept as its SHA-256 alone."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta

from sqlalchemy import RowMapping, Update, exists, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from service.access import authz
from service.access.actions import Action, Role
from service.access.authz import Binding, Caller, Target
from service.access.identity import hash_secret, new_secret
from service.base import paging
from service.base.clock import new_id, utcnow
from service.base.db import Database
from service.base.errors import ConflictError, FieldError, InvalidError, NotFoundError
from service.base.settings import Settings
from service.base.tables import key_secrets, keys
from service.models.audit import Status
from service.models.common import etag_of
from service.models.keys import Key, KeyCreate, KeyPage, KeyRotate, NewKey, RotatedKey
from service.operations.calls import Call, Done, Intent, Json, Open, Outcome, Settled, nothing
from service.operations.core import Core
from service.operations.operations import Operations, Settling

_EVERYWHERE = Binding(role=Role.ADMIN)


class Keys:
    """Keys are wharfinger's own: AWS is not asked, and a change is committed together with its audit row.

    `registries` and `clusters` are the names that a binding may have.
    """

    def __init__(
        self, *, database: Database, operations: Operations, registries: Collection[str], clusters: Collection[str]
    ) -> None:
        self._database = database
        self._operations = operations
        self._known = {"registry": registries, "cluster": clusters}

    @classmethod
    def of(cls, settings: Settings, core: Core) -> "Keys":
        return cls(
            database=core.database,
            operations=core.operations,
            registries=[one.name for one in settings.registries],
            clusters=[one.name for one in settings.clusters],
        )

    @property
    def settling(self) -> Mapping[Action, Settling]:
        actions = (Action.KEY_CREATE, Action.KEY_ROTATE, Action.KEY_REVOKE)
        return dict.fromkeys(actions, Settling(_settle))

    async def create(self, call: Call, asked: KeyCreate) -> Done[NewKey]:
        """Make a key. What is recorded is the `Key`, without the secret.

        :raises ConflictError: a repeat with the same Idempotency-Key (`secret_not_replayable`).
        :raises InvalidError: a binding names a registry or cluster that is not there.
        """
        # Only who may make keys is told which names there are; a refusal is recorded below.
        if authz.is_allowed(call.caller, Action.KEY_CREATE, Target()):
            self._require_known(asked)
        return await self._store(call, asked, new_secret())

    async def adopt(self, call: Call, asked: KeyCreate, secret: str) -> None:
        """Make a key of a secret that exists already, unless one has or had it; of several at once, one does."""
        async with self._database.read() as connection:
            is_known = select(exists().where(key_secrets.c.sha256 == hash_secret(secret)))
            if (await connection.execute(is_known)).scalar_one():
                return
        try:
            await self._store(call, asked, secret)
        except ConflictError as error:
            if error.code != "key_exists":
                raise

    async def get(self, caller: Caller, key_id: str) -> Key:
        """:raises NotFoundError: there is none with this id."""
        authz.require(caller, Action.KEY_READ, Target(key=key_id))
        async with self._database.read() as connection:
            return _key(await _row(connection, key_id))

    async def list(self, caller: Caller, *, cursor: str | None, limit: int) -> KeyPage:
        """All keys, also revoked and expired ones, the newest first."""
        authz.require(caller, Action.KEY_READ, Target())
        query = paging.newest_first(select(keys), keys.c.id, cursor, limit)
        async with self._database.read() as connection:
            listed = [_key(row) for row in (await connection.execute(query)).mappings()]
        items, following = paging.cut_by_id(listed, limit)
        return KeyPage(items=items, next_cursor=following)

    async def rotate(self, call: Call, key_id: str, asked: KeyRotate) -> Done[RotatedKey]:
        """Give a key a new secret; those before it end after the overlap.

        :raises ConflictError: the key is revoked or expired (`key_revoked`, `key_expired`), or it is a repeat with the
            same Idempotency-Key (`secret_not_replayable`).
        :raises PreconditionError: `If-Match` names a state that is gone.
        """
        secret = new_secret()

        async def act(_: str) -> Outcome[RotatedKey]:
            now = utcnow()
            until = now + timedelta(seconds=asked.overlap_seconds)

            async def write(connection: AsyncConnection) -> None:
                row = await _row(connection, key_id, lock=True)
                call.require_match(etag_of(_key(row)), f"Key {key_id}")
                _require_live(row, now)
                await connection.execute(_end_secrets(key_id, until))
                await connection.execute(insert(key_secrets).values(_secret(secret, key_id, now)))

            rotated = await self._read(key_id)
            recorded = rotated.model_dump(mode="json") | {"previous_until": until.isoformat()}
            return Outcome(recorded, RotatedKey(**dict(rotated), secret=secret, previous_until=until), write)

        request = asked.model_dump(mode="json") | {"id": key_id}
        intent: Intent[RotatedKey] = Intent(Action.KEY_ROTATE, Target(key=key_id), request, restore=None)
        return await self._operations.run(call, intent, act)

    async def revoke(self, call: Call, key_id: str) -> Done[None]:
        """End a key with all its secrets, at once and for good; one that is revoked already stays so.

        :raises ConflictError: it is the last key that is an admin everywhere (`last_admin_key`).
        :raises PreconditionError: `If-Match` names a state that is gone.
        """

        async def write(connection: AsyncConnection) -> None:
            await _require_another_admin(connection, key_id)
            row = await _row(connection, key_id, lock=True)
            call.require_match(etag_of(_key(row)), f"Key {key_id}")
            is_live = (keys.c.id == key_id, keys.c.revoked_at.is_(None))
            await connection.execute(update(keys).where(*is_live).values(revoked_at=utcnow()))

        async def act(_: str) -> Outcome[None]:
            return Outcome.empty(write)

        intent = Intent(Action.KEY_REVOKE, Target(key=key_id), {"id": key_id}, nothing)
        return await self._operations.run(call, intent, act)

    async def _store(self, call: Call, asked: KeyCreate, secret: str) -> Done[NewKey]:
        key = Key(
            id=new_id(),
            label=asked.label,
            bindings=asked.bindings,
            warnings=[],
            created_at=utcnow(),
            created_by=call.caller.id,
            expires_at=asked.expires_at,
            revoked_at=None,
            last_used_at=None,
        )

        async def write(connection: AsyncConnection) -> None:
            bindings = [binding.model_dump(mode="json") for binding in key.bindings]
            row = key.model_dump(exclude={"warnings"}) | {"bindings": bindings, "is_written_out": True}
            await connection.execute(insert(keys).values(row))
            dialect = sqlite if self._database.is_sqlite else postgresql
            new = dialect.insert(key_secrets).values(_secret(secret, key.id, key.created_at))
            added = await connection.execute(new.on_conflict_do_nothing().returning(key_secrets.c.sha256))
            if added.first() is None:
                raise ConflictError("There is a key with this secret already.", code="key_exists")

        async def act(_: str) -> Outcome[NewKey]:
            return Outcome(key.model_dump(mode="json"), NewKey(**dict(key), secret=secret), write)

        request = asked.model_dump(mode="json")
        intent: Intent[NewKey] = Intent(Action.KEY_CREATE, Target(key=key.id), request, restore=None)
        return await self._operations.run(call, intent, act)

    def _require_known(self, asked: KeyCreate) -> None:
        if mistakes := list(self._mistakes(asked)):
            detail = "; ".join(f"{one.path.removeprefix('body.')} {one.reason}" for one in mistakes)
            raise InvalidError(f"A binding names what is not there: {detail}.", errors=mistakes)

    def _mistakes(self, asked: KeyCreate) -> Iterator[FieldError]:
        for position, binding in enumerate(asked.bindings):
            for part, known in self._known.items():
                name = getattr(binding, part)
                if name not in (None, authz.EVERY, *known):
                    names = ", ".join(known) or "none"
                    yield FieldError(
                        f"body.bindings.{position}.{part}", f"{name!r} is not in the settings, which have: {names}"
                    )

    async def _read(self, key_id: str) -> Key:
        async with self._database.read() as connection:
            return _key(await _row(connection, key_id))


async def _row(connection: AsyncConnection, key_id: str, *, lock: bool = False) -> RowMapping:
    query = select(keys).where(keys.c.id == key_id)
    row = (await connection.execute(query.with_for_update() if lock else query)).mappings().first()
    if row is None:
        raise NotFoundError("key", key_id)
    return row


def _key(row: RowMapping) -> Key:
    facts = dict(row)
    is_written_out = facts.pop("is_written_out")
    key = Key.model_validate(facts | {"warnings": []})
    return key if is_written_out else key.model_copy(update={"warnings": list(_warnings(key))})


def _warnings(key: Key) -> Iterator[str]:
    for position, binding in enumerate(key.bindings):
        if binding.is_lopsided:
            widest = "all registries" if binding.registry == authz.EVERY else "all clusters"
            yield (
                f"bindings[{position}] reaches {widest}, though only its other side was named when the key was made: "
                "if that is not meant, make a key whose bindings name what it needs, and revoke this one"
            )


async def _require_another_admin(connection: AsyncConnection, key_id: str) -> None:
    is_live = (keys.c.revoked_at.is_(None), or_(keys.c.expires_at.is_(None), keys.c.expires_at > utcnow()))
    # Of two revocations at once, the second waits for the locks of the first, then sees what that one left. All lock
    # in one order, so none waits for another in a circle. SQLite has a single writer and needs no such lock.
    query = select(keys).where(*is_live).order_by(keys.c.id).with_for_update()
    live = [_key(row) for row in (await connection.execute(query)).mappings()]
    if [key.id for key in live if _EVERYWHERE in key.bindings] == [key_id]:
        raise ConflictError(
            "It is the last key that is an admin everywhere: make another one first.", code="last_admin_key"
        )


def _require_live(row: RowMapping, now: datetime) -> None:
    if row["revoked_at"] is not None:
        raise ConflictError("The key is revoked, for good: make another one.", code="key_revoked")
    if row["expires_at"] is not None and row["expires_at"] <= now:
        raise ConflictError("The key has expired, for good: make another one.", code="key_expired")


def _end_secrets(key_id: str, until: datetime) -> Update:
    end = key_secrets.c.expires_at
    return (
        update(key_secrets)
        .where(key_secrets.c.key_id == key_id, or_(end.is_(None), end > until))
        .values(expires_at=until)
    )


def _secret(secret: str, key_id: str, now: datetime) -> Json:
    return {"sha256": hash_secret(secret), "key_id": key_id, "created_at": now}


async def _settle(_: Open) -> Settled:
    # The change and the completion of its row are one commit: a row that is open was not followed by the change.
    return Settled(Status.FAILED, "not done: the key and this row are one commit")
