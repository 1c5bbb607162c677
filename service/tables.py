"""The tables, the same on SQLite and PostgreSQL. A change here needs a migration; a test compares the two."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, Index, Table, TypeDecorator
from sqlmodel import Field, SQLModel


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time. SQLite keeps no zone, so reading puts it back; writing refuses a naive time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - its signature
        if value is not None and value.tzinfo is None:
            raise ValueError("a naive time can't be stored")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - as above
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class _NullableJson(TypeDecorator[Any]):
    """JSON whose None is SQL's NULL."""

    impl = JSON(none_as_null=True)
    cache_ok = True


class OperationRow(SQLModel, table=True):
    """The audit trail: what was about to be done, and what came of it. A trigger makes a completed row immutable."""

    __tablename__ = "operations"
    __table_args__ = (
        Index("ix_operations_open", "completed_at", "deadline_at"),
        Index("ix_operations_actor", "actor", "id"),
        Index("ix_operations_target", "target", "id"),
    )

    id: str = Field(primary_key=True, max_length=36)
    parent_id: str | None = Field(None, max_length=36)
    actor: str = Field(max_length=64)
    actor_label: str = Field(max_length=128)
    action: str = Field(max_length=64)
    registry_name: str | None = Field(None, max_length=64)
    target: str = Field(max_length=1024)
    request_id: str = Field(max_length=128)
    request: dict[str, Any] = Field(sa_type=JSON)
    status: str = Field(max_length=16)
    started_at: datetime = Field(sa_type=UtcDateTime)
    deadline_at: datetime = Field(sa_type=UtcDateTime)
    completed_at: datetime | None = Field(None, sa_type=UtcDateTime)
    code: str | None = Field(None, max_length=64)
    aws: dict[str, Any] | None = Field(None, sa_type=_NullableJson)
    result: dict[str, Any] | None = Field(None, sa_type=_NullableJson)
    replay_of: str | None = Field(None, max_length=36)
    settled_by: str | None = Field(None, max_length=16)
    note: str | None = Field(None, max_length=512)
    claimed_until: datetime | None = Field(None, sa_type=UtcDateTime)


class IdempotencyKeyRow(SQLModel, table=True):
    """Which operation a caller's Idempotency-Key stands for, and the hash of the request that brought it."""

    __tablename__ = "idempotency_keys"

    actor: str = Field(primary_key=True, max_length=64)
    key: str = Field(primary_key=True, max_length=255)
    operation_id: str = Field(foreign_key="operations.id", index=True, max_length=36)
    fingerprint: str = Field(max_length=64)
    expires_at: datetime = Field(sa_type=UtcDateTime, index=True)


class KeyRow(SQLModel, table=True):
    """Who may call: a key with its bindings. Its id is the actor of the audit trail and outlives rotation."""

    __tablename__ = "keys"

    id: str = Field(primary_key=True, max_length=36)
    label: str = Field(max_length=128)
    bindings: list[dict[str, str]] = Field(sa_type=JSON)
    created_at: datetime = Field(sa_type=UtcDateTime)
    created_by: str = Field(max_length=64)
    expires_at: datetime | None = Field(None, sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(None, sa_type=UtcDateTime)
    last_used_at: datetime | None = Field(None, sa_type=UtcDateTime)


class KeySecretRow(SQLModel, table=True):
    """A secret of a key, as its SHA-256. Rotation adds one and gives those before it an end."""

    __tablename__ = "key_secrets"

    sha256: str = Field(primary_key=True, max_length=64)
    key_id: str = Field(foreign_key="keys.id", index=True, max_length=36)
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime | None = Field(None, sa_type=UtcDateTime)


def _table(name: str) -> Table:
    return SQLModel.metadata.tables[name]


operations = _table("operations")
idempotency_keys = _table("idempotency_keys")
keys = _table("keys")
key_secrets = _table("key_secrets")
